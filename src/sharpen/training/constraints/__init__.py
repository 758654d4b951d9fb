"""Constraints on training: group-robust weights, counterfactual twins, principles; one idea per file.

`plan` reads and checks the rows without torch; `building` chooses how the constraints act; `fair_dpo` and `fair_kto`
put them in the loss, `resampling` in the data.
"""
