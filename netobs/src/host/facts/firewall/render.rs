//! A rule → the line by which a person finds it, and the read-only command that shows it. Pure.
//!
//! Rules of iptables are written as `iptables -S` writes them, others as `nft list` does, as far as they are
//! understood; what is not stands in brackets, by the kernel's name.

mod clause;
mod iptables;
mod nft;
mod targets;
mod values;

use super::{Chain, Firewall, Place, Rule, Ruleset, Table, family};

impl Ruleset {
    /// The read-only command that shows a chain with its counters.
    #[must_use]
    pub fn command(&self, table: &Table, chain: &str) -> String {
        if self.is_of_iptables(table) {
            let program = if table.family == family::IPV6 { "ip6tables" } else { "iptables" };
            let of = if table.name == "filter" { String::new() } else { format!(" -t {}", table.name) };
            return format!("{program} -w{of} -L {} -v -n --line-numbers", word(chain));
        }
        format!("nft -a list chain {} {} {}", values::family(table.family), word(&table.name), word(chain))
    }
}

/// `ip filter`, as `nft` calls it.
impl std::fmt::Display for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", values::family(self.family), self.name)
    }
}

/// A name as a word of a shell: whoever may make chains chooses what stands in them.
fn word(name: &str) -> String {
    let plain = |one: char| one.is_ascii_alphanumeric() || "_.:-".contains(one);
    if !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', "'\\''"))
}

impl Firewall<'_> {
    /// The rule as a person finds it.
    #[must_use]
    pub fn line(&self, rule: &Rule) -> String {
        if self.ruleset().is_of_iptables(&rule.table) {
            iptables::line(self, rule)
        } else {
            nft::line(self, rule)
        }
    }

    /// The policy of a base chain as a person finds it.
    #[must_use]
    pub fn policy(&self, chain: &Chain) -> String {
        let drops = chain.drops == Some(true);
        if self.ruleset().is_of_iptables(&chain.table) {
            return format!("-P {} {}", chain.name, if drops { "DROP" } else { "ACCEPT" });
        }
        format!("policy {};", if drops { "drop" } else { "accept" })
    }

    /// The line of a place: its rule's, or its policy's.
    #[must_use]
    pub fn line_of(&self, place: &Place<'_>) -> String {
        place.rule.map_or_else(|| self.policy(place.base), |rule| self.line(rule))
    }

    /// The command that shows a place.
    #[must_use]
    pub fn command_of(&self, place: &Place<'_>) -> String {
        self.ruleset().command(place.table(), place.chain())
    }
}

#[cfg(test)]
mod tests;
