#!/usr/bin/env python3
"""Makes this folder's events from the Online Retail data set.

  make.py online_retail.csv[.gz] [OUTPUT FOLDER]

Python 3.9 or newer, nothing else. The same input gives the same bytes.

The CSV has the columns invoice, stock_code, description, quantity, invoice_date, unit_price, customer_id, country;
one row is one line of an invoice. Kept are the invoices of known customers: one event an invoice, without its lines.

orders.ndjson.gz    real: `Order Completed`, and `Order Refunded` for the invoices that take goods back
contacts.ndjson.gz  SYNTHETIC: an address at example.com and consent for each customer, by the rule in `contact`
"""
import csv, gzip, hashlib, io, json, os, sys
from decimal import Decimal

HERE = os.path.dirname(os.path.abspath(__file__))


def text(path):
    file = gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")
    return io.TextIOWrapper(file, encoding="utf-8", newline="")


def plain(number):
    """A decimal without exponent and without needless zeros."""
    written = format(number, "f")
    return (written.rstrip("0").rstrip(".") or "0") if "." in written else written


def orders(path):
    """One event an invoice: its time is that of its earliest line, its revenue the exact sum of its lines.

    The shop's local time is taken as UTC. A refund's revenue is positive.
    """
    invoices = {}
    for row in csv.DictReader(text(path)):
        invoices.setdefault(row["invoice"], []).append(row)
    events = []
    for invoice, rows in invoices.items():
        rows.sort(key=lambda row: row["invoice_date"])
        customer = rows[0]["customer_id"]
        if not customer or invoice[0] == "A":  # A: a bookkeeping entry
            continue
        total = sum((int(row["quantity"]) * Decimal(row["unit_price"]) for row in rows), Decimal(0))
        refund = invoice[0] == "C"
        events.append({
            "id": "or-" + invoice,
            "source": "online-retail",
            "type": "Order Refunded" if refund else "Order Completed",
            "time": rows[0]["invoice_date"].replace(" ", "T") + ".000Z",
            "identifiers": [{"type": "customer_id", "value": customer}],
            "properties": {"order_id": invoice, "revenue": plain(abs(total) if refund else total), "currency": "GBP",
                           "lines": len(rows), "country": rows[0]["country"]},
        })
    events.sort(key=lambda event: (event["time"], event["id"]))
    return events


def contact(customer, country):
    """SYNTHETIC. The set has no contact data, so each customer is given some.

    The first two bytes of the SHA-256 of the customer's id, as a number modulo 100, decide about e-mail for marketing:
    0 to 59 granted; 60 to 74 denied; 75 to 84 granted and withdrawn six months later; 85 to 99 never asked.
    """
    address = f"customer-{customer}@example.com"
    share = int.from_bytes(hashlib.sha256(customer.encode()).digest()[:2], "big") % 100

    def event(name, time, consents):
        return {
            "id": f"contact-{customer}-{name}",
            "source": "demo-contacts",
            "type": "identify",
            "time": time,
            "identifiers": [{"type": "customer_id", "value": customer}, {"type": "email", "value": address}],
            "traits": {"country": country},
            "channels": [{"channel": "email", "address": address}],
            "consents": [{"channel": "email", "address": address, "purpose": "marketing", "status": status,
                          "method": "synthetic", "policy_version": "demo-1", "expires_at": None}
                         for status in consents],
        }

    if share < 60:
        yield event("known", "2010-11-30T09:00:00.000Z", ["granted"])
    elif share < 75:
        yield event("known", "2010-11-30T09:00:00.000Z", ["denied"])
    elif share < 85:
        yield event("known", "2010-11-30T09:00:00.000Z", ["granted"])
        yield event("withdrawn", "2011-05-30T09:00:00.000Z", ["withdrawn"])
    else:
        yield event("known", "2010-11-30T09:00:00.000Z", [])


def write(path, events):
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        for event in events:
            line = json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"
            file.write(line.encode())


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    out = sys.argv[2] if len(sys.argv) == 3 else HERE
    bought = orders(sys.argv[1])
    # the country of a customer's newest order
    countries = {event["identifiers"][0]["value"]: event["properties"]["country"] for event in bought}
    contacts = [event for customer in sorted(countries) for event in contact(customer, countries[customer])]
    contacts.sort(key=lambda event: (event["time"], event["id"]))
    write(os.path.join(out, "orders.ndjson.gz"), bought)
    write(os.path.join(out, "contacts.ndjson.gz"), contacts)
    print(len(bought), "orders and refunds,", len(countries), "customers,", len(contacts), "contact events")


if __name__ == "__main__":
    main()
