//! Puts a deriver's rows and states behind the exports of the contract.

use std::marker::PhantomData;
use std::ops::Range;

use crate::bindings::cdp::plugin::types::{Batch, BytesList, Column, Failure};
use crate::bindings::exports::cdp::plugin::metadata;
use crate::bindings_deriver::exports::cdp::plugin::derivation::{self, FoldShape, Readings};
use crate::bindings_migration::exports::cdp::plugin::migration;
use crate::bindings_retraction::exports::cdp::plugin::retraction;
use crate::config::Problem;
use crate::deriver::{ReadingsOr, States};
use crate::patch::{Patch, Writer};
use crate::row::View;
use crate::{Deriver, Field, Migrating, Reading, Retracting, Row, State};

/// The exports of a deriver.
pub struct DeriverAdapter<T>(PhantomData<T>);

impl<T: Deriver> metadata::Guest for DeriverAdapter<T> {
    fn describe() -> metadata::Descriptor {
        T::DESCRIPTOR.into()
    }

    fn check_config(config: String) -> Result<(), Vec<String>> {
        T::configure(&config)
            .map(|_| ())
            .map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }
}

impl<T: Deriver> derivation::Guest for DeriverAdapter<T> {
    fn shape(_: String) -> FoldShape {
        T::SHAPE.into()
    }

    fn fold(config: String, states: BytesList, group_ends: Vec<u32>, events: Batch) -> States {
        each_row::<T>(&config, &states, &group_ends, &events, T::fold)
    }

    fn combine(config: String, left: BytesList, right: BytesList) -> States {
        combine::<T>(&config, &left, &right)
    }

    fn read(config: String, as_of: i64, states: BytesList) -> ReadingsOr {
        read::<T>(&config, as_of, &states)
    }
}

impl<T: Retracting> retraction::Guest for DeriverAdapter<T> {
    fn retract(config: String, states: BytesList, group_ends: Vec<u32>, events: Batch) -> States {
        each_row::<T>(&config, &states, &group_ends, &events, T::retract)
    }
}

impl<T: Migrating> migration::Guest for DeriverAdapter<T> {
    fn migrate(config: String, old_version: u32, states: BytesList) -> States {
        let config = configure::<T>(&config)?;
        let migrated = items(&states).map(|range| {
            let bytes = &states.data[range];
            T::migrate(old_version, bytes, &config)
                .ok_or_else(|| Failure::Rejected(format!("no state of version {old_version}")))
        });
        gather(migrated)
    }
}

type Step<T> = fn(Row<'_>, &<T as Deriver>::Config, &mut <T as Deriver>::State) -> Result<(), String>;

pub(crate) fn each_row<T: Deriver>(
    config: &str,
    states: &BytesList,
    group_ends: &[u32],
    events: &Batch,
    step: Step<T>,
) -> States {
    let config = configure::<T>(config)?;
    let view = View::new(events, T::DESCRIPTOR.event_types);
    let mut start = 0;
    gather(items(states).zip(group_ends).map(|(range, &end)| {
        let mut state = decode::<T>(&states.data[range])?;
        for at in std::mem::replace(&mut start, end)..end {
            step(Row { view: &view, at: at as usize }, &config, &mut state).map_err(Failure::Rejected)?;
        }
        Ok(state)
    }))
}

pub(crate) fn combine<T: Deriver>(config: &str, left: &BytesList, right: &BytesList) -> States {
    let config = configure::<T>(config)?;
    gather(items(left).zip(items(right)).map(|(into, other)| {
        let mut state = decode::<T>(&left.data[into])?;
        T::combine(&mut state, &decode::<T>(&right.data[other])?, &config);
        Ok(state)
    }))
}

pub(crate) fn read<T: Deriver>(config: &str, as_of: i64, states: &BytesList) -> ReadingsOr {
    let config = configure::<T>(config)?;
    let outputs = T::SHAPE.outputs.iter().map(|output| Field { pointer: output.name, kind: output.kind });
    let mut writers: Vec<Writer> = outputs.map(|field| Writer::new(field, states.ends.len())).collect();
    let mut valid_until = Vec::with_capacity(states.ends.len());
    let mut children = Vec::new();
    for (row, range) in (0..).zip(items(states)) {
        let state = decode::<T>(&states.data[range])?;
        let mut until = None;
        let patch = Patch { row, writers: &mut writers, children: &mut children };
        T::read(&state, as_of, &config, &mut Reading { patch, valid_until: &mut until });
        valid_until.push(until);
    }
    let rows = u32::try_from(valid_until.len()).unwrap_or(u32::MAX);
    let values: Vec<Column> = writers.into_iter().map(|writer| writer.finish_all(rows)).collect();
    Ok(Readings { values, valid_until })
}

fn configure<T: Deriver>(config: &str) -> Result<T::Config, Failure> {
    T::configure(config).map_err(|problems| {
        Failure::Misconfigured(problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))
    })
}

fn decode<T: Deriver>(bytes: &[u8]) -> Result<T::State, Failure> {
    if bytes.is_empty() {
        return Ok(T::State::default());
    }
    T::State::decode(bytes)
        .ok_or_else(|| Failure::Rejected("the state is not one of this plugin's".to_owned()))
}

fn items(list: &BytesList) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    list.ends.iter().map(move |&end| std::mem::replace(&mut start, end as usize)..end as usize)
}

fn gather<S: State>(states: impl Iterator<Item = Result<S, Failure>>) -> States {
    let mut out = BytesList { ends: Vec::new(), data: Vec::new() };
    for state in states {
        state?.encode(&mut out.data);
        out.ends.push(u32::try_from(out.data.len()).expect("less than 4 GiB"));
    }
    Ok(out)
}
