//! The lab (namespaces, real daemons, countable traffic), the agent under test, and the judges that compare
//! what it says with what the machine says. The cases are in `tests/`.

pub mod agent;
pub mod api_server;
pub mod assembled;
pub mod bare;
pub mod bpf;
pub mod contract;
pub mod counters;
pub mod docker_site;
pub mod dockerd;
pub mod endpoint;
pub mod exposition;
pub mod flows;
pub mod http;
pub mod image;
pub mod interval;
pub mod kubelet;
pub mod lab;
pub mod ledger;
pub mod libvirt;
pub mod machine;
pub mod machine_image;
pub mod netns;
pub mod packets;
pub mod paged;
pub mod place;
pub mod pods;
pub mod process;
pub mod require;
pub mod residue;
pub mod site;
pub mod stage;
pub mod suite;
pub mod terminal;
pub mod test_run;
pub mod traffic;
