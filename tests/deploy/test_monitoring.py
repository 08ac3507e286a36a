"""Alerts and dashboard name figures that a node really gives, and every alert is explained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from ballot.http.metrics import CASTS, REQUESTS
from ballot.ledger.metrics import NodeMetrics

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/ballot.json").read_text())
