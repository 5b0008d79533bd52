"""Download files: one fetch that resumes, mirrors, partial files."""
