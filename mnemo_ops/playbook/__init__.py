"""From YAML to plays: task lists, roles, the arguments of modules, variables checked before anything is opened.

Offers ``context``, ``free_form``, ``keywords``, ``load``, ``module_args``, ``modules``, ``names``, ``sources``,
``task``, ``task_list``, ``variable_check``.
"""
