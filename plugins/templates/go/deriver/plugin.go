// What a person ordered: how many orders, what they came to, and when the last one was.
package main

import "{{name}}/cdp"

const revenue = 0

type state struct {
	Orders int         `json:"orders"`
	Spend  cdp.Decimal `json:"spend"`
	Last   int64       `json:"last"`
}

func init() {
	cdp.Deriver(cdp.About{
		Name:    "{{name}}",
		Version: "0.1.0",
		Summary: "Orders, what they came to, and when the last one was.",
		Events:  []string{"Order Completed"},
		Reads:   []cdp.Field{revenue: {Pointer: "/properties/revenue", Kind: cdp.DecimalKind}},
	}, cdp.Fold[state]{
		Outputs: []cdp.Output{
			{Name: "order_count", Kind: cdp.Integer},
			{Name: "total_spend", Kind: cdp.DecimalKind},
			{Name: "last_order_at", Kind: cdp.Text},
		},
		Laws:          cdp.Commutative | cdp.Mergeable,
		MaxStateBytes: 256,
		Step: func(s *state, event cdp.Event, config string) {
			if amount, ok := event.Decimal(revenue); ok {
				s.Spend = s.Spend.Add(amount)
			}
			if s.Orders == 0 || event.OccurredAt() > s.Last {
				s.Last = event.OccurredAt()
			}
			s.Orders++
		},
		Join: func(s *state, other state, config string) {
			s.Orders += other.Orders
			s.Spend = s.Spend.Add(other.Spend)
			s.Last = max(s.Last, other.Last)
		},
		Read: func(s state, now int64, config string) (map[string]any, int64) {
			values := map[string]any{"order_count": s.Orders, "total_spend": s.Spend}
			if s.Orders > 0 {
				values["last_order_at"] = cdp.ISO(s.Last)
			}
			return values, 0
		},
	})
}

func main() {}
