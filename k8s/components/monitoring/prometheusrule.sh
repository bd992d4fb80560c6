#!/bin/sh
# Writes prometheusrule.yaml, which is config/monitoring/prometheus/rules.yaml as the Prometheus
# operator wants it: Kustomize can read no file into a field. Run it when the rules have changed.
set -eu
cd "$(dirname "$0")"
cat >prometheusrule.yaml <<'HEAD'
# Made by prometheusrule.sh from config/monitoring/prometheus/rules.yaml: change that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sidecache
  labels: {app.kubernetes.io/name: sidecache}
spec:
HEAD
sed -e '/^#/d' -e 's/^./  &/' ../../../config/monitoring/prometheus/rules.yaml >>prometheusrule.yaml
