//! Runtimes that tell of no changes, hang in places, flood, or are not the one to ask.

use super::*;
use crate::runtime::follow::Source as _;

/// CRI-O with its events switched off, as it comes: the stream ends at once and well.
fn crio() -> Server {
    let server = node();
    server.set("GetContainerEvents", Answer::Status(0));
    server
}

fn fast() -> Pace {
    Pace { alone: Duration::from_millis(50), ..Pace::default() }
}

#[tokio::test]
async fn events_that_end_at_once_are_no_failure_and_the_runtime_is_asked_often() {
    let place = Place::new();
    let server = crio();
    server.serve(place.listen());
    let mut updates = place.watch_at(fast());
    assert_eq!(pods(&mut updates).await.len(), 1);
    assert!(matches!(state(&mut updates).await, RuntimeState::Ready { .. }));
    server.say("ListPodSandbox", &list(vec![sandbox("aa", "web"), sandbox("bb", "db")]));
    let PodUpdate::Pods(found) = next(&mut updates).await else { panic!("no state comes between") };
    assert_eq!(found.len(), 2);
}

#[test]
fn where_nobody_tells_of_changes_new_pods_are_seen_within_two_seconds() {
    let pace = Pace::default();
    assert!(pace.alone + pace.settle + pace.apart < Duration::from_millis(1_500));
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_asked_about_blinds_nobody_else() {
    for answer in [Answer::Status(2), Answer::Silence] {
        let place = Place::new();
        let server = crio();
        let all = ["aa", "bb"].map(|id| sandbox(id, id)).to_vec();
        server.say("ListPodSandbox", &list(all.clone())).set("PodSandboxStatus/bb", answer);
        server.serve(place.listen());
        let mut updates = place.watch_at(fast());
        let names =
            |found: &[Arc<RuntimePod>]| found.iter().map(|pod| pod.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&pods(&mut updates).await), ["aa"]);
        assert!(matches!(state(&mut updates).await, RuntimeState::Ready { .. }));
        server.say("ListPodSandbox", &list([all, vec![sandbox("cc", "cc")]].concat()));
        let began = Instant::now();
        let PodUpdate::Pods(found) = next(&mut updates).await else { panic!("no state comes between") };
        assert_eq!(names(&found), ["aa", "cc"]);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        server.say("PodSandboxStatus/bb", &status(0)).say("ListPodSandbox", &list(vec![sandbox("bb", "bb")]));
        while names(&pods(&mut updates).await) != ["bb"] {}
    }
}

#[tokio::test]
async fn a_container_without_an_answer_costs_its_process_alone() {
    let place = Place::new();
    let server = crio();
    server.say("PodSandboxStatus", &status(NODE)).set("ContainerStatus/c1", Answer::Status(2));
    server.serve(place.listen());
    let found = pods(&mut place.watch_at(fast())).await;
    let pids: Vec<_> = found[0].containers.iter().map(|one| (&*one.id, one.pid)).collect();
    assert_eq!(pids, [("c1", 0), ("c2", 78)]);
}

#[tokio::test]
async fn many_slow_answers_are_waited_for_side_by_side_and_not_for_long() {
    let place = Place::new();
    let server = crio();
    let all = (10..60).map(|number| sandbox(&number.to_string(), &number.to_string())).collect();
    server.say("ListPodSandbox", &list(all)).set("PodSandboxStatus", Answer::Silence);
    server.say("PodSandboxStatus/10", &status(0));
    server.serve(place.listen());
    let began = Instant::now();
    assert_eq!(pods(&mut place.watch_at(fast())).await.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn events_without_end_are_left_waiting() {
    let place = Place::new();
    let server = node();
    let taken = Arc::new(AtomicUsize::new(0));
    server.set("Subscribe", Answer::Flood(Arc::clone(&taken)));
    server.serve(place.listen());
    let mut updates = place.watch();
    assert!(matches!(state(&mut updates).await, RuntimeState::Ready { .. }));
    let drained = timeout(Duration::from_secs(1), updates.recv()).await;
    assert!(drained.is_err(), "nothing new");
    // A window of two megabytes (hyper's) and one event each quarter of a second.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 100, "{taken} events of 64 KiB");
}

#[tokio::test]
async fn a_list_of_millions_of_nothings_is_refused() {
    let server = node();
    server.set("ListContainers", Answer::Message([10, 0].repeat(MOST_LISTED + 1)));
    assert!(super::trouble(&server).await.contains("more than"));
    let list = <List<Container> as prost::Message>::decode(&*[10, 0].repeat(MOST_LISTED * 2)).unwrap();
    assert!(list.more && list.items.len() == MOST_LISTED);
}

#[tokio::test]
async fn a_runtime_without_pods_is_passed_over_for_the_next_socket() {
    let (docker, k3s) = (Place::new(), Place::new());
    Server::default().serve(docker.listen());
    node().serve(k3s.listen());
    let (sender, mut updates) = mpsc::channel(16);
    let sockets = vec![docker.socket.clone(), k3s.socket.clone()];
    tokio::spawn(follow(Cri::new(sockets.clone(), Arc::default(), fast()), sender));
    assert_eq!(pods(&mut updates).await.len(), 1);
    assert!(matches!(state(&mut updates).await, RuntimeState::Ready { .. }), "and nothing else was said");

    let cri = Cri::new(sockets.clone(), Arc::default(), fast());
    assert_eq!(cri.socket(), sockets[0]);
    assert!(cri.passes_over(&sockets[0]));
    assert_eq!(cri.socket(), sockets[1]);
    assert!(!cri.passes_over(&sockets[1]), "nobody is left");
    assert_eq!(cri.socket(), sockets[0]);
    std::fs::remove_file(&sockets[1]).unwrap();
    drop(k3s.listen());
    assert_eq!(cri.socket(), sockets[1], "made anew");
}
