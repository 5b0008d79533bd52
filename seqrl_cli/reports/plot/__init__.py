"""Figures of runs and plans.

==================  ==================================================================================================
``run_curves``      the mean curve of a method over its seeds
``panels``          what each kind of plot shows: loss, reward, score, time
``online_panels``   what online fine-tuning has logged
``curves``          panels, lines and points as plain data
``plan_panels``     what is shown of planned episodes
``draw``            draws panels with matplotlib; ``small_panels`` draws those of many tasks, in the ``style`` of all
``figure_formats``  which files can be written
==================  ==================================================================================================
"""
