//! What each role may do: one table.

use cdp_engine::users::Role;

/// What a route of the console asks of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// Nothing, and of nobody: signing in.
    Anybody,
    /// Looking at everything that stands on a page.
    Look,
    /// Segments and attributes.
    Define,
    /// Audiences, destinations and schedules, and the files of runs.
    Export,
    /// Keys, plugins, schemas and replays.
    Extend,
    /// Users, purposes, rules of identity, the rights of people, how long events are kept, whose plugins are trusted, and
    /// the audit log.
    Administer,
}

/// The table: `TABLE[n]` has who may, beside what.
const TABLE: [(May, &[Role]); 5] = [
    (May::Look, &[Role::Marketer, Role::Developer, Role::Admin]),
    (May::Define, &[Role::Marketer, Role::Developer, Role::Admin]),
    (May::Export, &[Role::Marketer, Role::Admin]),
    (May::Extend, &[Role::Developer, Role::Admin]),
    (May::Administer, &[Role::Admin]),
];

impl May {
    /// Whether this role may.
    #[must_use]
    pub(crate) fn allows(self, role: Role) -> bool {
        self == Self::Anybody || TABLE.iter().any(|(may, roles)| *may == self && roles.contains(&role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        let all = [May::Anybody, May::Look, May::Define, May::Export, May::Extend, May::Administer];
        let row = |role: Role| all.map(|may| u8::from(may.allows(role)));
        assert_eq!(row(Role::Marketer), [1, 1, 1, 1, 0, 0]);
        assert_eq!(row(Role::Developer), [1, 1, 1, 0, 1, 0]);
        assert_eq!(row(Role::Admin), [1, 1, 1, 1, 1, 1]);
    }
}
