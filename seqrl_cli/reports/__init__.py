"""Makes statistics, tables and plots of planned episodes and logged runs.

===================  ================================================================================================
``results``          reads every planned episode below a folder
``provenance``       what a run's folder adds to its episodes: seed, recipe, progress of fine-tuning
``groups``           which episodes are seeds of one method
``statistics``       mean, standard error, interquartile mean, 95 % intervals
``table/``           the table of results: computed by ``build``, printed by ``terminal``, ``text`` and ``latex``;
                     by task and domain: computed by ``tasks``, printed by ``task_formats``
``plot/``            figures: computed by ``panels`` and ``online_panels``, drawn by ``draw``
``dataset_summary``  what a dataset contains, for ``seqrl info``
===================  ================================================================================================
"""
