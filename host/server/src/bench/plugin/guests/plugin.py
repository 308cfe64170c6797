"""The bench's work as a Python guest: see `work.rs` of the bench."""

from cdp import drop, integer, number, text, transformer

RATES = {"GBP": 1.17, "USD": 0.92}


@transformer(
    name="bench",
    version="1.0.0",
    summary="Writes beside each order what it is worth.",
    events=["Order Completed"],
    reads={
        "total": number("/properties/total"),
        "currency": text("/properties/currency"),
        "country": text("/properties/country"),
        "lines": integer("/properties/lines"),
    },
    writes={"band": text("/properties/value_band")},
)
class Plugin:
    @staticmethod
    def check(settings):
        while settings.get("forever"):
            pass

    def apply(self, event):
        if not event.lines:
            return drop()
        if event.total is None:
            return None
        worth = event.total * RATES.get(event.currency, 1.0)
        worth *= 1.0 if event.country == "United Kingdom" else 0.9
        return {"band": "high" if worth >= 200 else "mid" if worth >= 50 else "low"}
