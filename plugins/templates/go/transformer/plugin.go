// Says of each buyer what the last order was worth: high, mid or low. Test orders go no further.
package main

import "{{name}}/cdp"

const (
	revenue = iota
	test
)

const band = 0

var zero, mid, high = number("0"), number("50"), number("200")

func init() {
	cdp.Transformer(cdp.About{
		Name:    "{{name}}",
		Version: "0.1.0",
		Summary: "Says of each buyer what the last order was worth.",
		Events:  []string{"Order Completed"},
		Reads: []cdp.Field{
			revenue: {Pointer: "/properties/revenue", Kind: cdp.DecimalKind},
			test:    {Pointer: "/properties/test", Kind: cdp.Boolean},
		},
		Writes: []cdp.Field{band: {Pointer: "/traits/last_order_band", Kind: cdp.Text}},
	}, apply)
}

func apply(event cdp.Event, patch cdp.Patch, config string) cdp.Decision {
	if isTest, _ := event.Boolean(test); isTest {
		return cdp.Drop("a test order")
	}
	worth, ok := event.Decimal(revenue)
	if !ok {
		return cdp.Keep()
	}
	switch {
	case worth.Cmp(zero) < 0:
		return cdp.Reject("the revenue is below zero")
	case worth.Cmp(high) >= 0:
		patch.Set(band, "high")
	case worth.Cmp(mid) >= 0:
		patch.Set(band, "mid")
	default:
		patch.Set(band, "low")
	}
	return cdp.Keep()
}

func number(digits string) cdp.Decimal {
	out, _ := cdp.ParseDecimal(digits)
	return out
}

func main() {}
