//! Whose turn it is: a queue a tenant, served by deficit round robin. Pure and deterministic.
//!
//! A lane that has waiting work gets [`QUANTUM`] of cost per round, so tenants get equal shares of work however much
//! they send. A lane that had nothing waiting goes before those that had (the new and old flows of FQ-CoDel, RFC 8290):
//! who asks seldom waits for no more than what is being worked on. A lane that empties stays for one more round, so
//! that nobody becomes new again by sending one piece at a time.

use std::collections::{HashMap, VecDeque};

use super::Class;

/// Cost that a lane may spend in one round, in bytes of bodies.
pub(crate) const QUANTUM: usize = 16 * 1024;
/// What a piece of work costs beside its bytes.
pub(crate) const COST_FIXED: usize = 2 * 1024;

/// Work that waits, by class.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    lanes: HashMap<Class, Lane<T>>,
    /// Classes that had nothing waiting before.
    new: VecDeque<Class>,
    /// The others.
    old: VecDeque<Class>,
    waiting_max: usize,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<(usize, T)>,
    deficit: usize,
}

/// A class has as much waiting as it may; the work comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full<T>(pub(crate) T);

impl<T> Lanes<T> {
    /// With room for so many waiting pieces of one class.
    pub(crate) fn new(waiting_max: usize) -> Self {
        Self { lanes: HashMap::new(), new: VecDeque::new(), old: VecDeque::new(), waiting_max }
    }

    /// Puts work of this cost (bytes) behind what the class has waiting.
    pub(crate) fn push(&mut self, class: Class, bytes: usize, work: T) -> Result<(), Full<T>> {
        let lane = self.lanes.entry(class).or_insert_with(|| {
            self.new.push_back(class);
            Lane { waiting: VecDeque::new(), deficit: QUANTUM }
        });
        if lane.waiting.len() >= self.waiting_max {
            return Err(Full(work));
        }
        lane.waiting.push_back((bytes + COST_FIXED, work));
        Ok(())
    }

    /// Takes the work whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        loop {
            let from_new = !self.new.is_empty();
            let class = if from_new { self.new.pop_front() } else { self.old.pop_front() }?;
            let lane = self.lanes.get_mut(&class).expect("a class in a ring has a lane");
            let Some((cost, _)) = lane.waiting.front() else {
                if from_new {
                    self.old.push_back(class);
                } else {
                    self.lanes.remove(&class);
                }
                continue;
            };
            if *cost > lane.deficit {
                lane.deficit += QUANTUM;
                self.old.push_back(class);
                continue;
            }
            lane.deficit -= cost;
            let ring = if from_new { &mut self.new } else { &mut self.old };
            ring.push_front(class);
            return lane.waiting.pop_front().map(|(_, work)| work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISY: Class = Class(Some(1));
    const QUIET: Class = Class(Some(2));

    /// Serves until a class's work comes; gives the cost of the others' that came before.
    fn served_before(lanes: &mut Lanes<(Class, usize)>, wanted: Class) -> usize {
        let mut before = 0;
        loop {
            let (class, bytes) = lanes.pop().expect("it waits");
            if class == wanted {
                return before;
            }
            before += bytes;
        }
    }

    #[test]
    fn work_of_one_class_comes_in_its_order() {
        let mut lanes = Lanes::new(100);
        for n in 0..10 {
            lanes.push(NOISY, n * 10_000, n).unwrap();
        }
        let served: Vec<_> = std::iter::from_fn(|| lanes.pop()).collect();
        assert_eq!(served, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_class_that_asks_seldom_goes_before_one_with_100_times_the_work() {
        let mut lanes = Lanes::new(1000);
        for _ in 0..500 {
            lanes.push(NOISY, 40_000, (NOISY, 40_000)).unwrap();
        }
        for _ in 0..50 {
            lanes.pop().unwrap();
        }
        lanes.push(QUIET, 400, (QUIET, 400)).unwrap();
        assert_eq!(served_before(&mut lanes, QUIET), 0);
        for _ in 0..3 {
            lanes.pop().unwrap();
        }
        lanes.push(QUIET, 400, (QUIET, 400)).unwrap();
        assert!(served_before(&mut lanes, QUIET) <= 40_000, "at most one piece goes before");
    }

    #[test]
    fn classes_that_always_have_work_get_equal_shares_of_bytes_whatever_the_size_of_their_pieces() {
        let mut lanes = Lanes::new(100_000);
        for _ in 0..20_000 {
            lanes.push(NOISY, 100, (NOISY, 100)).unwrap();
        }
        for _ in 0..200 {
            lanes.push(QUIET, 500_000, (QUIET, 500_000)).unwrap();
        }
        let (mut noisy, mut quiet) = (0_usize, 0_usize);
        for _ in 0..10_000 {
            let (class, bytes) = lanes.pop().unwrap();
            let sum = if class == NOISY { &mut noisy } else { &mut quiet };
            *sum += bytes + COST_FIXED;
        }
        assert!(noisy.abs_diff(quiet) <= 500_000 + COST_FIXED + 2 * QUANTUM, "{noisy} and {quiet}");
    }

    #[test]
    fn sending_one_piece_at_a_time_does_not_make_a_class_new_for_ever() {
        let mut lanes = Lanes::new(1000);
        for _ in 0..1000 {
            lanes.push(QUIET, 10_000, (QUIET, 10_000)).unwrap();
        }
        let (mut sly, mut patient) = (0_usize, 0_usize);
        for _ in 0..400 {
            let _ = lanes.push(NOISY, 10_000, (NOISY, 10_000));
            if lanes.pop().unwrap().0 == NOISY { sly += 1 } else { patient += 1 }
        }
        assert!(patient >= 190, "{patient} of the patient, {sly} of the sly");
    }

    #[test]
    fn a_class_waits_up_to_its_bound_and_the_others_still_may() {
        let mut lanes = Lanes::new(2);
        lanes.push(NOISY, 1, 1).unwrap();
        lanes.push(NOISY, 1, 2).unwrap();
        assert_eq!(lanes.push(NOISY, 1, 3), Err(Full(3)));
        lanes.push(QUIET, 1, 4).unwrap();
        assert_eq!(std::iter::from_fn(|| lanes.pop()).count(), 3);
        assert!(
            lanes.lanes.is_empty() && lanes.new.is_empty() && lanes.old.is_empty(),
            "nothing is left behind"
        );
    }
}
