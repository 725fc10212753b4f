"""Assertions that go on after a failure, so that one run shows all of them."""
import sys


class Checks:
    def __init__(self):
        self.done = 0
        self.failed = 0

    def that(self, holds, text):
        """Counts a check; `text` says what is wrong when it does not hold."""
        self.done += 1
        if not holds:
            self.failed += 1
            print(f"wrong: {text}", flush=True)
        return bool(holds)

    def equal(self, got, wanted, what):
        return self.that(got == wanted, f"{what}: {got!r}, wanted {wanted!r}")

    def near(self, got, wanted, slack, what):
        """`got` is a number and within `slack` of `wanted`; None never is."""
        near = got is not None and abs(got - wanted) <= slack
        return self.that(near, f"{what}: {got!r}, wanted {wanted} ± {slack}")

    def end(self):
        """Ends the case with its exit code."""
        if not self.done:
            self.that(False, "nothing was checked")
        print(f"{self.done - self.failed} of {self.done} checks hold", flush=True)
        sys.exit(1 if self.failed else 0)
