"""Documents that are valid in type and contradict themselves: each verb that reads one refuses it or works."""
