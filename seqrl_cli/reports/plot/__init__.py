"""Figures of runs and plans.

==================  ==================================================================================================
``run_curves``      the mean curve of a method over its seeds
``panels``          what each kind of plot shows: loss, reward, score, time
``online_panels``   what online fine-tuning has logged
``curves``          panels, lines and points as plain data
``draw``            draws panels with matplotlib
``figure_formats``  which files can be written
==================  ==================================================================================================
"""
