"""The JSON that auth takes and answers: strict models, a module for each resource."""
