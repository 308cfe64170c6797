//! Why two are one person: a path of evidence, and the least evidence without which they would be two.

use std::collections::{HashMap, HashSet, VecDeque};

use super::place::Candidate;
use super::{Constraint, Constraints, Force, Resolver, Subject};
use crate::identifier::Identifier;
use crate::ids::FragmentId;

/// A step on a path of evidence, and a piece of it that can be taken away.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The events of a fragment.
    Fragment(FragmentId),
    /// An identifier.
    Identifier(Identifier),
    /// That a fragment has an identifier, where the fragment itself is what is asked about.
    Carries(FragmentId, Identifier),
    /// A `must_link` with this number.
    Constraint(u32),
}

/// A graph of subjects, joined by evidence that each counts once.
struct Graph<'a> {
    numbers: HashMap<Node<'a>, usize>,
    nodes: Vec<Node<'a>>,
    edges: Vec<Vec<Edge>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Node<'a> {
    /// A side of a fragment.
    Fragment(FragmentId, Side),
    Identifier(&'a Identifier),
}

/// Between where a fragment is come to and where it is left lies its evidence. A `must_link` names the fragment whether
/// it has evidence or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Come,
    Leave,
    Itself,
}

struct Edge {
    to: usize,
    room: u32,
    back: usize,
    unit: Option<Step>,
}

const ENDLESS: u32 = u32::MAX / 4;

impl<'a> Graph<'a> {
    fn node(&mut self, node: Node<'a>) -> usize {
        *self.numbers.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.edges.push(Vec::new());
            self.nodes.len() - 1
        })
    }

    fn edge(&mut self, from: usize, to: usize, unit: Option<Step>) {
        let room = if unit.is_some() { 1 } else { ENDLESS };
        let (there, back) = (self.edges[from].len(), self.edges[to].len());
        self.edges[from].push(Edge { to, room, back, unit });
        self.edges[to].push(Edge { to: from, room: 0, back: there, unit: None });
    }

    /// The shortest way with room, as the edges taken (from, index).
    fn way(&self, from: usize, to: usize) -> Result<Vec<(usize, usize)>, HashSet<usize>> {
        let mut came: HashMap<usize, (usize, usize)> = HashMap::new();
        let mut queue = VecDeque::from([from]);
        let mut seen = HashSet::from([from]);
        while let Some(at) = queue.pop_front() {
            if at == to {
                let mut way = Vec::new();
                let mut at = at;
                while at != from {
                    let step = came[&at];
                    way.push(step);
                    at = step.0;
                }
                way.reverse();
                return Ok(way);
            }
            for (n, edge) in self.edges[at].iter().enumerate() {
                if edge.room > 0 && seen.insert(edge.to) {
                    came.insert(edge.to, (at, n));
                    queue.push_back(edge.to);
                }
            }
        }
        Err(seen)
    }
}

/// What joins the fragments of a set, each with the identifiers that link it, for the question about `a` and `b`.
fn graph<'a>(
    members: &[(FragmentId, Vec<&'a Identifier>)],
    constraints: &'a [Constraint],
    a: &'a Subject,
    b: &'a Subject,
) -> Graph<'a> {
    let mut graph = Graph { numbers: HashMap::new(), nodes: Vec::new(), edges: Vec::new() };
    for (id, identifiers) in members {
        let asked = [a, b].contains(&&Subject::Fragment(*id));
        let [come, leave, itself] =
            [Side::Come, Side::Leave, Side::Itself].map(|side| graph.node(Node::Fragment(*id, side)));
        graph.edge(come, leave, (!asked).then_some(Step::Fragment(*id)));
        graph.edge(itself, come, None);
        graph.edge(leave, itself, None);
        for identifier in identifiers {
            let node = graph.node(Node::Identifier(identifier));
            let unit = || asked.then(|| Step::Carries(*id, (*identifier).clone()));
            graph.edge(node, come, unit());
            graph.edge(leave, node, unit());
        }
    }
    for constraint in constraints.iter().filter(|constraint| constraint.force == Force::MustLink) {
        let [x, y] = [&constraint.a, &constraint.b].map(|subject| end(&mut graph, subject));
        graph.edge(x, y, Some(Step::Constraint(constraint.id)));
        graph.edge(y, x, Some(Step::Constraint(constraint.id)));
    }
    graph
}

fn end<'a>(graph: &mut Graph<'a>, subject: &'a Subject) -> usize {
    match subject {
        Subject::Identifier(identifier) => graph.node(Node::Identifier(identifier)),
        Subject::Fragment(id) => graph.node(Node::Fragment(*id, Side::Itself)),
    }
}

/// The shortest path of evidence from `a` to `b` among the fragments of a profile, each with the identifiers that belong
/// to the profile because of it; None when nothing joins them.
#[must_use]
pub fn path(
    members: &[(FragmentId, Vec<&Identifier>)],
    constraints: &[Constraint],
    a: &Subject,
    b: &Subject,
) -> Option<Vec<Step>> {
    let mut graph = graph(members, constraints, a, b);
    let (from, to) = (end(&mut graph, a), end(&mut graph, b));
    let way = graph.way(from, to).ok()?;
    let mut steps = Vec::new();
    let step = |node: usize| match graph.nodes[node] {
        Node::Fragment(id, _) => Step::Fragment(id),
        Node::Identifier(identifier) => Step::Identifier(identifier.clone()),
    };
    steps.push(step(from));
    for (at, n) in way {
        let edge = &graph.edges[at][n];
        if let Some(constraint @ Step::Constraint(_)) = &edge.unit {
            steps.push(constraint.clone());
        }
        let next = step(edge.to);
        if steps.last() != Some(&next) {
            steps.push(next);
        }
    }
    Some(steps)
}

/// The least evidence without which `a` and `b` would be two people: as many independent pieces as there are independent
/// paths, and more where taking them away lets others link. Checked by placing the fragments again without it.
#[must_use]
pub fn separating(
    resolver: &Resolver,
    constraints: &[Constraint],
    candidates: &[Candidate<'_>],
    a: &Subject,
    b: &Subject,
) -> Vec<Step> {
    let mut gone: Vec<Step> = Vec::new();
    let mut left: Vec<Candidate<'_>> = candidates.to_vec();
    let mut forces: Vec<Constraint> = constraints.to_vec();
    let mut resolver = resolver.clone();
    // Each turn takes something away, so it ends.
    loop {
        let placed = resolver.place(&left);
        let of: HashMap<FragmentId, &super::Placed> =
            placed.iter().map(|placed| (placed.id, placed)).collect();
        let mut members = Vec::new();
        for candidate in &left {
            let owned = of[&candidate.known.id].owned;
            let identifiers = candidate.known.identifiers.iter().enumerate();
            let identifiers =
                identifiers.filter(|(n, _)| owned & 1 << n != 0).map(|(_, identifier)| identifier);
            members.push((candidate.known.id, identifiers.collect::<Vec<_>>()));
        }
        let least = least(&members, &forces, a, b);
        if least.is_empty() {
            return gone;
        }
        for step in &least {
            match step {
                Step::Fragment(id) => left.retain(|candidate| candidate.known.id != *id),
                Step::Carries(id, identifier) => {
                    for candidate in left.iter_mut().filter(|candidate| candidate.known.id == *id) {
                        let at = candidate.known.identifiers.iter().position(|known| known == identifier);
                        candidate.links &= !(1 << at.expect("it carries it"));
                    }
                }
                Step::Constraint(id) => forces.retain(|constraint| constraint.id != *id),
                Step::Identifier(_) => {}
            }
        }
        if least.iter().any(|step| matches!(step, Step::Constraint(_))) {
            resolver.constraints = Constraints::new(&forces);
        }
        gone.extend(least);
    }
}

/// A least cut between `a` and `b` (Menger; Ford and Fulkerson); empty when nothing joins them.
fn least(
    members: &[(FragmentId, Vec<&Identifier>)],
    constraints: &[Constraint],
    a: &Subject,
    b: &Subject,
) -> Vec<Step> {
    let mut graph = graph(members, constraints, a, b);
    let (from, to) = (end(&mut graph, a), end(&mut graph, b));
    loop {
        match graph.way(from, to) {
            Ok(way) => {
                if way.is_empty() {
                    return Vec::new();
                }
                for (at, n) in way {
                    let Edge { to, back, .. } = graph.edges[at][n];
                    graph.edges[at][n].room -= 1;
                    graph.edges[to][back].room += 1;
                }
            }
            Err(reached) => {
                let mut cut: Vec<Step> = Vec::new();
                for at in &reached {
                    let leaving = graph.edges[*at].iter().filter(|edge| !reached.contains(&edge.to));
                    cut.extend(leaving.filter_map(|edge| edge.unit.clone()));
                }
                cut.sort_by_key(|step| format!("{step:?}"));
                cut.dedup();
                return cut;
            }
        }
    }
}
