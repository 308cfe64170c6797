"""What a person ordered: how many orders, what they came to, and when the last one was."""

from cdp import Decimal, decimal, deriver, iso


@deriver(
    name="{{name}}",
    version="0.1.0",
    summary="Orders, what they came to, and when the last one was.",
    events=["Order Completed"],
    reads={"revenue": decimal("/properties/revenue")},
    outputs={"order_count": "integer", "total_spend": "decimal", "last_order_at": "text"},
    laws=["commutative", "mergeable"],
    max_state_bytes=256,
)
class Plugin:
    def start(self):
        return {"orders": 0, "spend": Decimal(0), "last": None}

    def step(self, state, event):
        last = max(state["last"] or event.occurred_at, event.occurred_at)
        return {"orders": state["orders"] + 1, "spend": state["spend"] + (event.revenue or 0), "last": last}

    def join(self, a, b):
        return {
            "orders": a["orders"] + b["orders"],
            "spend": a["spend"] + b["spend"],
            "last": max(a["last"], b["last"]),
        }

    def read(self, state, now):
        last = state["last"]
        return {
            "order_count": state["orders"],
            "total_spend": state["spend"],
            "last_order_at": None if last is None else iso(last),
        }
