//! What Docker 20.10.24 answered for a container on two networks with published ports, shortened to the
//! fields read and some that are not.

pub(super) const WEB: &str = "5eba0a2244bdc4670b77560aa0fd487761bf1abdd40b410599d90596536fdd8f";

pub(super) const VERSION: &str = r#"{"Platform":{"Name":""},"Components":[
  {"Name":"Engine","Version":"20.10.24+dfsg1","Details":{"ApiVersion":"1.41"}},
  {"Name":"containerd","Version":"1.6.20~ds1"}],
  "Version":"20.10.24+dfsg1","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux"}"#;

pub(super) const NETWORKS: &str = r#"[
  {"Name":"usernet","Id":"1e66300b4f05f838b40b1eface00ddaa48a4e6c7de3ddb84122b772d173627ed","Driver":"bridge",
   "IPAM":{"Driver":"default","Options":{},"Config":[{"Subnet":"10.213.7.0/24"}]},"Options":{},"Labels":{}},
  {"Name":"macnet","Id":"186e6e937753b1d523294b9c46c11abfda38e31a8a9593d408657e842e7d7ab3","Driver":"macvlan",
   "IPAM":{"Driver":"default","Options":null},"Options":{"parent":"eth0"}},
  {"Name":"none","Id":"c7c5f34819c857f44f330f1bf3ff0a775cbaf8af8f28044f32f52799a3a0911f","Driver":"null",
   "Options":null},
  {"Name":"bridge","Id":"e4e9922491eabe1bbc91810b11d9efb058a11ec2b44b5442719ddc327b35f4d7","Driver":"bridge",
   "Options":{"com.docker.network.bridge.name":"docker0","com.docker.network.driver.mtu":"1500"}}]"#;

pub(super) const INSPECT: &str = r#"{
  "Id":"5eba0a2244bdc4670b77560aa0fd487761bf1abdd40b410599d90596536fdd8f","Name":"/web",
  "Image":"sha256:e93da965723f3e3dc9b87e39491e9d885ad1b6ae8fd566142432a59d864af753",
  "State":{"Status":"running","Running":true,"Paused":false,"Pid":27436,
    "StartedAt":"2026-11-22T15:59:33.127278561Z","FinishedAt":"0001-01-01T00:00:00Z"},
  "HostConfig":{"NetworkMode":"default","PortBindings":{}},
  "Config":{"Image":"netobs-id:1","Labels":{"com.docker.compose.project":"shop",
    "com.docker.compose.service":"front","other":"x"}},
  "NetworkSettings":{"SandboxKey":"/var/run/docker/netns/d62a278942d3",
    "Ports":{"53/udp":[{"HostIp":"127.0.0.1","HostPort":"5353"}],"90/tcp":null,
      "80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}]},
    "SecondaryIPAddresses":null,
    "Networks":{
      "bridge":{"IPAMConfig":null,"Links":null,
        "NetworkID":"e4e9922491eabe1bbc91810b11d9efb058a11ec2b44b5442719ddc327b35f4d7",
        "EndpointID":"61614a1319014d07f4cc5fc4f97c0f9c408835bdfa11d96db611286e70c90ed9","Gateway":"10.213.0.1",
        "IPAddress":"10.213.0.2","IPPrefixLen":24,"GlobalIPv6Address":"","MacAddress":"02:42:0a:d5:00:02"},
      "usernet":{"NetworkID":"1e66300b4f05f838b40b1eface00ddaa48a4e6c7de3ddb84122b772d173627ed",
        "Gateway":"10.213.7.1","IPAddress":"10.213.7.3","IPPrefixLen":24,"GlobalIPv6Address":"2001:db8::3",
        "MacAddress":"02:42:0a:d5:07:03"}}}}"#;
