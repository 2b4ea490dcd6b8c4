"""Measurement M: iMSG beside what else takes messages and delivers them, each as it is meant to be run."""
