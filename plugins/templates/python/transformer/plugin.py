"""Says of each buyer what the last order was worth: high, mid or low. Test orders go no further."""

from cdp import boolean, decimal, drop, reject, text, transformer


@transformer(
    name="{{name}}",
    version="0.1.0",
    summary="Says of each buyer what the last order was worth.",
    events=["Order Completed"],
    reads={"revenue": decimal("/properties/revenue"), "test": boolean("/properties/test")},
    writes={"band": text("/traits/last_order_band")},
)
class Plugin:
    def apply(self, event):
        if event.test:
            return drop("a test order")
        if event.revenue is None:
            return None
        if event.revenue < 0:
            return reject("the revenue is below zero")
        return {"band": "high" if event.revenue >= 200 else "mid" if event.revenue >= 50 else "low"}
