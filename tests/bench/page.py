# SPDX-License-Identifier: MIT
"""The bench's figures as one HTML page that needs nothing else."""
import html as escape

import table


def html(result):
    return f"<!doctype html><title>oxprof bench</title><pre>{escape.escape(table.text(result))}</pre>"
