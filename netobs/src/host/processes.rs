//! `docker-proxy` processes → the published port each of them carries.

use std::net::IpAddr;

use super::proc;

/// One `docker-proxy`: it accepts on the host and opens a second connection to the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerProxy {
    /// The process.
    pub pid: u32,
    /// Address it listens on.
    pub host_ip: IpAddr,
    /// Port it listens on.
    pub host_port: u16,
    /// Address it connects to.
    pub container_ip: IpAddr,
    /// Port it connects to.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// The proxies running now. Blocking.
#[must_use]
pub fn docker_proxies() -> Vec<DockerProxy> {
    proc::pids()
        .into_iter()
        .filter(|pid| proc::command(*pid).is_some_and(|command| command == "docker-proxy"))
        .filter_map(|pid| proc::same(pid, |_| parse(pid, &proc::arguments(pid).ok()?)))
        .collect()
}

/// Options are `-name value`; newer ones also come as `-name=value` and with two dashes.
fn parse(pid: u32, arguments: &[String]) -> Option<DockerProxy> {
    let option = |wanted: &str| {
        arguments.iter().enumerate().find_map(|(at, argument)| {
            let argument = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
            match argument.split_once('=') {
                Some((name, value)) => (name == wanted).then_some(value),
                None => arguments.get(at + 1).map(String::as_str).filter(|_| argument == wanted),
            }
        })
    };
    Some(DockerProxy {
        pid,
        host_ip: option("host-ip")?.parse().ok()?,
        host_port: option("host-port")?.parse().ok()?,
        container_ip: option("container-ip")?.parse().ok()?,
        container_port: option("container-port")?.parse().ok()?,
        protocol: option("proto").unwrap_or("tcp").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<DockerProxy> {
        parse(9, &line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_options_name_both_ends() {
        let expected = DockerProxy {
            pid: 9,
            host_ip: "0.0.0.0".parse().unwrap(),
            host_port: 8080,
            container_ip: "172.17.0.2".parse().unwrap(),
            container_port: 80,
            protocol: "udp".into(),
        };
        let line = "/usr/bin/docker-proxy -proto udp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80";
        assert_eq!(parsed(line).as_ref(), Some(&expected));
        let line = "docker-proxy --proto=udp --host-ip=0.0.0.0 --host-port=8080 --container-ip=172.17.0.2 --container-port=80 -use-listen-fd";
        assert_eq!(parsed(line).as_ref(), Some(&expected));
    }

    #[test]
    fn ipv6_addresses_are_addresses() {
        let line = "docker-proxy -host-ip :: -host-port 1 -container-ip 2001:db8::2 -container-port 2";
        let found = parsed(line).unwrap();
        assert_eq!((found.host_ip, found.protocol.as_str()), ("::".parse().unwrap(), "tcp"));
    }

    #[test]
    fn a_proxy_whose_options_are_not_understood_is_left_out() {
        assert_eq!(parsed("docker-proxy"), None);
        assert_eq!(parsed("docker-proxy -host-ip x -host-port 1 -container-ip ::1 -container-port 2"), None);
        assert_eq!(
            parsed("docker-proxy -host-ip :: -host-port 70000 -container-ip ::1 -container-port 2"),
            None
        );
        assert_eq!(parsed("docker-proxy -container-port 2 -host-ip"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_arguments_are_read_without_panic(arguments in proptest::collection::vec("[-=a-z0-9:. ]{0,20}", 0..12)) {
            let found = parse(1, &arguments);
            proptest::prop_assert!(found.is_none() || arguments.len() >= 4);
        }
    }
}
