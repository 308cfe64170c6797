//! Request bodies that cost the generator next to nothing: laid out once, then only digits are written over.
//!
//! An event has about 400 bytes, a unique id, two identifiers of one of N customers, and ten properties.

/// Whom events are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Mix {
    /// Customers at random, each with one customer number and one address.
    #[default]
    Plain,
    /// Every customer in turn: makes as many profiles as there are customers.
    #[value(skip)]
    Each,
    /// Customers at random; one event in ten is somebody new with an address of their own, one in ten shows that such an
    /// address is a known customer's, which joins two profiles, and one in a hundred is a month late.
    Identity,
}

/// The customers that events are about: so many, every `step`th of all there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Customers {
    /// How many.
    pub(crate) active: u64,
    /// 1 when they are all there are.
    pub(crate) step: u64,
}

impl Customers {
    /// All of so many.
    pub(crate) fn all(count: u64) -> Self {
        Self { active: count, step: 1 }
    }

    /// At most so many of all, evenly spread.
    pub(crate) fn some(active: u64, of: u64) -> Self {
        let active = active.min(of);
        Self { active, step: of / active }
    }

    fn number(self, random: u64) -> u64 {
        random % self.active * self.step
    }
}

/// Numbers of customers who are new in the identity mix begin here.
const STRANGERS: u64 = 50_000_000;

/// Places of one event's changing digits in a body.
#[derive(Debug, Clone, Copy)]
struct Slots {
    id: usize,
    month: usize,
    customer: usize,
    email: usize,
    total: usize,
    items: usize,
}

const ID_DIGITS: usize = 12;
const CUSTOMER_DIGITS: usize = 8;
const TOTAL_DIGITS: usize = 3;

/// A request, head and body, for a fixed number of events; reused for every request of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    head: usize,
    slots: Vec<Slots>,
}

impl Request {
    /// Lays out a request of `events` events; one event goes as an object, several as an array.
    pub(crate) fn new(host: &str, key: &str, events: usize) -> Self {
        let mut body = Vec::with_capacity(events * 420);
        let mut slots = Vec::with_capacity(events);
        let single = events == 1;
        if !single {
            body.push(b'[');
        }
        for n in 0..events {
            if n > 0 {
                body.push(b',');
            }
            slots.push(event(&mut body));
        }
        if !single {
            body.push(b']');
        }
        let mut bytes = format!(
            "POST /v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        let head = bytes.len();
        bytes.append(&mut body);
        for slot in &mut slots {
            for place in [
                &mut slot.id,
                &mut slot.month,
                &mut slot.customer,
                &mut slot.email,
                &mut slot.total,
                &mut slot.items,
            ] {
                *place += head;
            }
        }
        Self { bytes, head, slots }
    }

    /// Writes the events `first..` of a numbered stream; the same number gives the same event.
    pub(crate) fn fill(&mut self, first: u64, customers: Customers, mix_of: Mix) {
        for (n, slot) in (first..).zip(&self.slots) {
            let random = mix(n);
            let (customer, email, month) = whom(n, random, customers, mix_of);
            digits(&mut self.bytes, slot.id, ID_DIGITS, n);
            digits(&mut self.bytes, slot.month, 1, month);
            digits(&mut self.bytes, slot.customer, CUSTOMER_DIGITS, customer);
            digits(&mut self.bytes, slot.email, CUSTOMER_DIGITS, email);
            digits(&mut self.bytes, slot.total, TOTAL_DIGITS, (random >> 32) % 1000);
            digits(&mut self.bytes, slot.items, 1, (random >> 48) % 10);
        }
    }

    /// Head and body.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The body alone.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// How many events it carries.
    pub(crate) fn events(&self) -> u64 {
        self.slots.len() as u64
    }
}

/// Customer, address and month of event `n`.
fn whom(n: u64, random: u64, customers: Customers, mix_of: Mix) -> (u64, u64, u64) {
    let customer = customers.number(random);
    match mix_of {
        Mix::Plain => (customer, customer, 3),
        Mix::Each => (customers.number(n), customers.number(n), 3),
        Mix::Identity => {
            let month = if (random >> 24).is_multiple_of(100) { 2 } else { 3 };
            // Strangers come at the tens, and one event later it is known who each is.
            let stranger = STRANGERS + n / 10 % STRANGERS;
            match n % 10 {
                0 => (stranger, stranger, month),
                1 => (customer, stranger, month),
                _ => (customer, customer, month),
            }
        }
    }
}

fn event(body: &mut Vec<u8>) -> Slots {
    let mut text = |part: &str| {
        let at = body.len();
        body.extend_from_slice(part.as_bytes());
        at
    };
    text(r#"{"id":"b-"#);
    let id = text("000000000000");
    text(r#"","type":"purchase","time":"2026-0"#);
    let month = text("3");
    text(r#"-01T12:00:00Z","identifiers":[{"type":"customer_id","value":"c"#);
    let customer = text("00000000");
    text(r#""},{"type":"email","value":"c"#);
    let email = text("00000000");
    text(r#"@example.com"}],"properties":{"total":""#);
    let total = text("000");
    text(r#".50","currency":"EUR","items":"#);
    let items = text("0");
    text(
        r#","store":"riga-3","till":"12","cashier":"A. Ozols","campaign":"spring-2026","channel":"store","loyalty":true,"note":"no bag"}}"#,
    );
    Slots { id, month, customer, email, total, items }
}

fn digits(bytes: &mut [u8], at: usize, width: usize, mut number: u64) {
    for place in (at..at + width).rev() {
        bytes[place] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// SplitMix64: evenly spread, and the same for the same number.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_with_unique_ids_and_about_400_bytes_an_event() {
        let mut request = Request::new("localhost", "key", 100);
        request.fill(4_200, Customers::all(100_000), Mix::Plain);
        let events: Vec<serde_json::Value> = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(events.len(), 100);
        assert_eq!(events[7]["id"], "b-000000004207");
        assert_eq!(events[7]["properties"].as_object().unwrap().len(), 10);
        assert_eq!(events[7]["identifiers"].as_array().unwrap().len(), 2);
        let each = request.body().len() / 100;
        assert!((350..=450).contains(&each), "{each} bytes an event");
    }

    #[test]
    fn a_fifth_of_the_identity_mix_joins_and_a_hundredth_is_late() {
        let (mut strangers, mut joins, mut late) = (0, 0, 0);
        for n in 0..10_000 {
            let (customer, email, month) = whom(n, mix(n), Customers::all(1000), Mix::Identity);
            strangers += u64::from(customer >= STRANGERS);
            joins += u64::from(customer < STRANGERS && email >= STRANGERS);
            late += u64::from(month == 2);
        }
        assert_eq!((strangers, joins), (1000, 1000));
        assert!((50..=150).contains(&late), "{late}");
        assert_eq!(
            whom(10, 7, Customers::all(1000), Mix::Identity).1,
            whom(11, 7, Customers::all(1000), Mix::Identity).1
        );
    }

    #[test]
    fn some_customers_are_spread_evenly_over_all() {
        let some = Customers::some(10, 1000);
        let numbers: std::collections::BTreeSet<_> = (0..500).map(|n| some.number(mix(n))).collect();
        assert_eq!(numbers, (0..10).map(|n| n * 100).collect());
        assert_eq!(Customers::some(10, 3), Customers::all(3));
    }

    #[test]
    fn a_single_event_is_an_object() {
        let mut request = Request::new("localhost", "key", 1);
        request.fill(1, Customers::all(10), Mix::Plain);
        assert!(serde_json::from_slice::<serde_json::Value>(request.body()).unwrap().is_object());
    }
}
