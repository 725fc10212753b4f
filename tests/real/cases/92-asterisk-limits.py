#!/usr/bin/env python3
"""Trunks of Asterisk that count their calls (GROUP_COUNT): six, refused with 503, and three where four were bought, refused
with 486 (ASTERISK=1). Looked at: the exact numbers, found and proved, and who is blamed.
"""
from check import CASE, Checks, figure, run

checks = Checks()
for trunk, prefix, places, code, exit_code in (("nine", 9, 6, 503, 0), ("eight", 8, 3, 486, 1)):
    path = CASE / f"{trunk}.yaml"
    path.write_text(f"""scenario: {trunk}
target: asterisk
caller:
  account: agents
  steps:
    - dial: {{ number: "{prefix}007{{{{ n | pad(4) }}}}", trunk: {trunk}, answer_within: 10s }}
    - hold_open
load:
  find_limit: {{ of: concurrent_calls, up_to: 20, step_every: 50ms, pauses: [200ms, 1s], control: {{ number: internal }} }}
""")
    done = run(path, on="asterisk", out=trunk)
    found = (done.summary.get("limits") or [{}])[0]
    right = checks.equal((found.get("measured"), found.get("finding")), (places, "call.trunk_saturated"), f"{trunk}: limit")
    right &= checks.equal((found.get("code"), found.get("scope"), found.get("proved")), (code, "shown", 2), f"{trunk}: proof")
    right &= checks.equal(done.code, exit_code, f"{trunk}: exit code")
    if not right:
        done.show()
    figure(found.get("text"))
checks.end()
