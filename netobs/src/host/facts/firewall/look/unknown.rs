//! Steps and targets that are not followed further → whether the rule goes on after them. Pure.

/// What names by a step that is not followed further mean for a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It changes nothing about whether the rule goes on.
    Idle,
    /// Nothing after it is looked at.
    Ends,
    /// It may be a condition.
    Open,
}

pub(super) fn unknown_step(name: &str) -> Unknown {
    match name {
        "last" | "flow_offload" | "dup" => Unknown::Idle,
        "queue" | "tproxy" | "synproxy" | "fwd" => Unknown::Ends,
        _ => Unknown::Open,
    }
}

/// Targets that let the packet go on, whatever they do to it (net/netfilter/xt_*.c: `XT_CONTINUE`).
pub(super) fn unknown_target(name: &str) -> Unknown {
    match name {
        "NFLOG" | "TCPMSS" | "CHECKSUM" | "TTL" | "HL" | "DSCP" | "TOS" | "ECN" | "CLASSIFY" | "SET"
        | "TEE" | "AUDIT" | "CONNSECMARK" | "SECMARK" | "RATEEST" | "LED" | "IDLETIMER" | "TCPOPTSTRIP"
        | "TRACE" | "SNPT" | "DNPT" => Unknown::Idle,
        _ => Unknown::Ends,
    }
}
