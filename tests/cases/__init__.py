"""Inputs of the kinds that people reported to other tools as read wrongly, made here, with what is right for each."""
