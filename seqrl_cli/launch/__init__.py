"""Start seqrl processes, here and elsewhere, on engines that exist.

- ``task``: one task, a few commands one after the other, and what becomes of them; ``tied``: a process that saves and
  ends when its parent dies.
- ``launcher``: the interface that all engines have; ``local``: processes of this machine; ``ray_cluster``: tasks of a
  Ray cluster; ``slurm_jobs``: jobs that are waited for.
- ``ordered_map``: the interface of maps over long-lived processes; ``ray_map``: one over the nodes of a Ray cluster.
- ``job_arrays``: scripts for Slurm and PBS, which need no process of ours to wait for them.
"""
