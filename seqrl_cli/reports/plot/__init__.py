"""Figures of runs and plans.

=====================  ==============================================================================================
``read_runs``          reads the runs and their episodes
``run_curves``         the mean curve of a method over its seeds
``curves``             panels, lines and points as plain data
``panels``             what each kind of plot shows: loss, reward, score, time
``plan_panels``        what is shown of planned episodes
``evaluation_panels``  what models earned in the middle of training
``online_panels``      what online fine-tuning has logged
``axis_panels``        the axes of a sweep against what its runs reached
``across_panels``      methods over several datasets
``continual_panels``   continual runs: success after each task, forgetting, use of adapters
``draw``               draws panels with matplotlib: ``bars``, a ``heat_map``, ``small_panels`` of many tasks, in the
                       ``style`` of all
``figure_formats``     which files can be written
=====================  ==============================================================================================
"""
