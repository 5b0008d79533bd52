"""Many environments at a time, in this process or in another one."""
