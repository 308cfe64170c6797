package cdp

import (
	"math/big"
	"strings"
)

// Decimal is an exact number; the zero value is 0.
type Decimal struct {
	units big.Int
	scale int
}

// ParseDecimal reads plain notation such as "64.2".
func ParseDecimal(text string) (Decimal, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	var out Decimal
	_, ok := out.units.SetString(whole+fraction, 10)
	out.scale = len(fraction)
	return out, ok
}

// Add gives the exact sum.
func (d Decimal) Add(other Decimal) Decimal {
	a, b, scale := align(d, other)
	out := Decimal{scale: scale}
	out.units.Add(a, b)
	return out
}

// Sub gives the exact difference.
func (d Decimal) Sub(other Decimal) Decimal {
	a, b, scale := align(d, other)
	out := Decimal{scale: scale}
	out.units.Sub(a, b)
	return out
}

// Cmp is -1, 0 or 1 as d is below, at or above other.
func (d Decimal) Cmp(other Decimal) int {
	a, b, _ := align(d, other)
	return a.Cmp(b)
}

func align(a, b Decimal) (*big.Int, *big.Int, int) {
	scale := max(a.scale, b.scale)
	return raised(a, scale), raised(b, scale), scale
}

func raised(d Decimal, scale int) *big.Int {
	factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-d.scale)), nil)
	return factor.Mul(factor, &d.units)
}

// String gives plain notation, without needless zeros.
func (d Decimal) String() string {
	digits, sign := new(big.Int).Abs(&d.units).String(), ""
	if d.units.Sign() < 0 {
		sign = "-"
	}
	if len(digits) <= d.scale {
		digits = strings.Repeat("0", d.scale-len(digits)+1) + digits
	}
	point := len(digits) - d.scale
	fraction := strings.TrimRight(digits[point:], "0")
	if fraction == "" {
		return sign + digits[:point]
	}
	return sign + digits[:point] + "." + fraction
}

// MarshalText makes a Decimal part of a state.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads it back.
func (d *Decimal) UnmarshalText(text []byte) error {
	*d, _ = ParseDecimal(string(text))
	return nil
}
