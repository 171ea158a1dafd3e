//! Firewalls shaped like those of Docker, Kubernetes, ufw and firewalld, made by `iptables` and by `nft` in a namespace of
//! the tests' own: what is read of them is what their own tools list, and for each packet the rule that is named is the
//! very one whose counter grows.

mod firewall {
    pub(crate) mod large;
    pub(crate) mod listed;
    pub(crate) mod rows;
    pub(crate) mod scene;
    pub(crate) mod shot;
}

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use firewall::{
    large, listed,
    rows::{self, Row},
    scene::Scene,
};
use netobs_tests::{
    require::{CLUSTER, TRAFFIC},
    suite::{self, Case},
};

fn main() -> ExitCode {
    let case = |name, check: fn(&Scene) -> Result<()>| Case { name, check };
    suite::run(
        &[TRAFFIC, CLUSTER],
        Scene::new,
        vec![
            case("rules_of_iptables_name_the_rule_that_counts", |scene| all(scene, rows::iptables())),
            case("rules_of_kubernetes_name_the_rule_that_counts", |scene| all(scene, rows::kubernetes())),
            case("rules_of_nft_name_the_rule_that_counts", |scene| all(scene, rows::nft())),
            case("what_is_read_is_what_iptables_lists", |scene| {
                each(scene, [rows::iptables(), rows::kubernetes()].concat(), listed::by_iptables)
            }),
            case("what_is_read_is_what_nft_lists", |scene| {
                each(scene, [rows::iptables(), rows::kubernetes(), rows::nft()].concat(), listed::by_nft)
            }),
            case("rules_behind_a_large_one_are_read", large::are_read),
            case("rules_behind_one_that_the_kernel_cannot_tell_are_missed", large::are_missed),
            case("rules_that_there_is_no_room_for_are_missed", large::have_no_room),
            case("a_switched_off_table_and_an_empty_firewall_keep_nothing", |scene| {
                all(scene, rows::empty())
            }),
        ],
    )
}

fn each(scene: &Scene, rows: Vec<Row>, check: fn(&Scene) -> Result<()>) -> Result<()> {
    for row in rows {
        scene.load(&row).with_context(|| row.name.to_owned())?;
        check(scene).with_context(|| row.name.to_owned())?;
    }
    Ok(())
}

/// Every packet of every row; all that is wrong is told at once.
fn all(scene: &Scene, rows: Vec<Row>) -> Result<()> {
    let mut wrong = Vec::new();
    for row in rows {
        scene.load(&row).with_context(|| row.name.to_owned())?;
        for shot in &row.shots {
            if let Err(error) = shot.fire(scene) {
                wrong.push(format!("{}: {shot:?}: {error:#}", row.name));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
