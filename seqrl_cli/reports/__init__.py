"""Makes statistics, tables and plots of planned episodes and logged runs.

======================  =============================================================================================
``results``             reads every planned episode below a folder
``provenance``          what a run's folder adds to its episodes: seed, recipe, progress of fine-tuning
``groups``              which episodes are seeds of one method
``differing``           the settings in which models of one architecture differ
``statistics``          mean, standard error, interquartile mean, 95 % intervals
``across_datasets``     statistics of methods over several datasets
``references``          the returns of a dataset's own policy and of a random policy
``continual_results``   finished continual runs, grouped over seeds; ``continual_sources`` finds them among runs
``table/``              the table of results: computed by ``build``, printed by ``terminal``, ``text`` and ``latex``;
                        by task and domain: computed by ``tasks``, printed by ``task_formats``
``plot/``               figures: computed by ``panels`` and others of that name, drawn by ``draw``
``html/``               the report in one HTML file
``dataset_summary``     what a dataset contains, for ``seqrl info``
``model_card``          the README of a shared run
======================  =============================================================================================
"""
