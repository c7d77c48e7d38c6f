"""Every night: yesterday's logs into the warehouse, then the proof that it is whole. For Apache Airflow 3."""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

LOGS = "/srv/logs/{{ ds }}/*.gz"
WAREHOUSE = "/srv/postbacks/warehouse"
METRICS = "/var/lib/prometheus/node-exporter/postback_etl.prom"

with DAG(
    dag_id="postbacks",
    schedule="30 2 * * *",
    start_date=datetime(2024, 5, 1),  # noqa: DTZ001 - in Airflow's own zone
    catchup=False,
    max_active_runs=1,  # a warehouse has one writer at a time
    default_args={"retries": 2, "retry_delay": timedelta(minutes=15)},
):
    load = BashOperator(
        task_id="load",
        bash_command=f"postback-etl load '{LOGS}' --into {WAREHOUSE} --events json --metrics {METRICS}",
        skip_on_exit_code=3,  # loaded, but more was rejected than is allowed
    )
    verify = BashOperator(
        task_id="verify",
        bash_command=f"postback-etl loads verify --into {WAREHOUSE}",
        trigger_rule="none_failed",
        retries=0,  # what is wrong stays wrong
    )
    load >> verify
