"""The servers around Airflow: one module for each, which can be deployed alone."""
