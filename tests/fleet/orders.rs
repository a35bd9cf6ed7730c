//! Orders of the operator, and who is away when one is given.

use super::commands::{public, run};
use super::*;

const HOST: &str = "192.0.2.1";

/// Two nodes with an operator, both connected, of which the first bans a host.
struct Scene {
    server: Server,
    pbx1: Node,
    pbx2: Node,
    operator: PrivateKey,
}

impl Scene {
    fn new() -> Self {
        let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("operator.key");
        let made = Command::new(PROGRAM).args(["fleet", "keygen", "--out"]).arg(&file).output();
        let public = public(&String::from_utf8(made.unwrap().stdout).unwrap());
        let more = format!("operator = \"{public}\"\n");
        let mut pbx1 = Node::start("pbx1", &server, &keys, &more);
        let pbx2 = Node::start("pbx2", &server, &keys, &more);
        pbx1.until_connected();
        pbx2.until_connected();
        pbx1.ban(HOST);
        pbx2.until_banned("pbx1", HOST);
        fs::copy(&file, pbx2.home.path("operator.key")).unwrap();
        let operator = PrivateKey::read_file(&file).unwrap();
        Self { server, pbx1, pbx2, operator }
    }

    /// Gives the order at the second node.
    fn unban(&self) -> (i32, String) {
        let paths = ["operator.key", "fleet.sock"].map(|name| self.pbx2.home.path(name));
        let [key, socket] = paths.each_ref().map(|path| path.to_str().unwrap());
        run(&self.pbx2.home, &["unban", HOST, "--key", key, "--helper", socket])
    }
}

/// The orders that a guard was told: when each was given, and when a ban has begun that it lifts.
fn orders(node: &Node) -> Vec<(i64, i64)> {
    let told = node.told.lock().unwrap();
    let order = |told: &FromFleet| match told {
        FromFleet::Unban { issued, begun, by, .. } if by.as_str() == "pbx2" => {
            Some((*issued, begun.millis()))
        }
        _ => None,
    };
    told.iter().filter_map(order).collect()
}

fn kill(node: &mut Node) {
    node.child.kill().unwrap();
    node.child.wait().unwrap();
}

#[test]
fn a_guard_that_was_away_gets_the_order() {
    if !able() {
        return;
    }
    let mut scene = Scene::new();
    scene.pbx1.guard_leaves();
    let (code, said) = scene.unban();
    assert!(code == 0 && said.contains("the server has the order"), "{said}");
    let given = kit::now().millis();
    scene.pbx1.guard_is_back();
    until("it is told", || !orders(&scene.pbx1).is_empty());
    let (_, begun) = orders(&scene.pbx1)[0];
    assert!(begun <= given, "bans that came later stay: {begun} {given}");
    // What the guard does then, the server hears.
    assert_eq!(scene.server.ask("EXISTS ag:{pbx1}:b:192.0.2.1/32"), Reply::Number(1));
    scene.pbx1.lift(HOST);
    until("it is lifted", || {
        scene.server.ask("EXISTS ag:{pbx1}:b:192.0.2.1/32") == Reply::Number(0)
    });
}

#[test]
fn a_guard_that_comes_a_second_later_is_waited_for() {
    if !able() {
        return;
    }
    let scene = Scene::new();
    scene.pbx2.guard_leaves();
    thread::scope(|scope| {
        let given = scope.spawn(|| scene.unban());
        until("the other one has it", || !orders(&scene.pbx1).is_empty());
        assert!(!given.is_finished(), "its own guard has not carried it out");
        let (stream, told) = connect(&scene.pbx2.home);
        (&stream).write_all(&line(&ToFleet::Begin)).unwrap();
        let (code, said) = given.join().unwrap();
        assert_eq!(code, 0, "{said}");
        assert!(told.lock().unwrap().iter().any(|it| matches!(it, FromFleet::Unban { .. })));
    });
}

#[test]
fn without_its_own_guard_the_node_says_so() {
    if !able() {
        return;
    }
    let mut scene = Scene::new();
    scene.pbx2.guard_leaves();
    let (code, said) = scene.unban();
    assert!(code == 4 && said.contains("the guard of this node has not"), "{said}");
    assert!(said.contains("the server has the order") && !said.contains("is unbanned"), "{said}");
    scene.pbx2.guard_is_back();
    until("it is told", || !orders(&scene.pbx2).is_empty());
}

#[test]
fn without_a_server_the_order_waits_over_restarts_of_the_process() {
    if !able() {
        return;
    }
    let mut scene = Scene::new();
    scene.server.stop();
    until("the loss is said", || !scene.pbx2.status().connected);
    let (code, said) = scene.unban();
    assert!(code == 1 && said.contains("the server does not have the order"), "{said}");
    assert!(said.contains("is unbanned at this node"), "{said}");
    scene.pbx2.restart();
    until("its own guard hears it from the next process", || !orders(&scene.pbx2).is_empty());
    assert!(orders(&scene.pbx1).is_empty());
    scene.server.start_again();
    until("the other one has it", || !orders(&scene.pbx1).is_empty());
}

#[test]
fn a_process_that_was_away_reads_the_order_behind_a_snapshot() {
    if !able() {
        return;
    }
    let mut scene = Scene::new();
    kill(&mut scene.pbx1);
    let (code, said) = scene.unban();
    assert_eq!(code, 0, "{said}");
    let (issued, _) = orders(&scene.pbx2)[0];
    // The stream with the order is lost, and the next snapshot is newer.
    kill(&mut scene.pbx2);
    scene.server.restart();
    scene.pbx2.restart();
    // It is said at the connection, and again behind the snapshot: nobody hears it live who comes later.
    until("it is said twice", || {
        matches!(scene.server.ask("XLEN ag:{pbx2}:e"), Reply::Number(2..))
    });
    scene.pbx1.restart();
    until("it is read", || !orders(&scene.pbx1).is_empty());
    // It lifts what was there, and nothing that came while nobody heard of it, however often it is told.
    let told = orders(&scene.pbx1);
    assert!(told.iter().all(|it| *it == (issued, issued)), "{told:?}");
    scene.pbx1.until_connected();
    assert_eq!(scene.pbx1.refused("pbx2", "no-order"), 0);
}

#[test]
fn an_old_order_is_refused_and_one_of_nobody_too() {
    if !able() {
        return;
    }
    let mut scene = Scene::new();
    let (stranger, _) = PrivateKey::generate().unwrap();
    let host = Host::of(&HOST.parse().unwrap());
    let now = kit::now().millis();
    let old = Order::new(host, now - 601_000, &scene.operator);
    let orders_said = [old, Order::new(host, now, &stranger)].map(ToFleet::Unban);
    scene.pbx2.say(&orders_said);
    let refused = || {
        let told = scene.pbx2.told.lock().unwrap();
        told.iter().filter(|it| matches!(it, FromFleet::Order(it) if it.refused.as_deref() == Some("no-order"))).count()
    };
    until("both are refused", || refused() == 2);
    assert!(orders(&scene.pbx2).is_empty());
}

#[test]
fn commands_are_no_guards_and_a_reload_without_a_change_says_so() {
    if !able() {
        return;
    }
    let scene = Scene::new();
    let (stream, told) = connect(&scene.pbx2.home);
    (&stream).write_all(&line(&ToFleet::Reload)).unwrap();
    until("it is answered", || !told.lock().unwrap().is_empty());
    assert_eq!(*told.lock().unwrap(), [FromFleet::Unchanged]);
    // What it says of orders is nothing to believe.
    scene.pbx2.guard_leaves();
    let order = Order::new(Host::of(&HOST.parse().unwrap()), kit::now().millis(), &scene.operator);
    let (host, issued) = (HOST.parse().unwrap(), order.issued);
    let says =
        [ToFleet::Unban(order.clone()), ToFleet::Obeyed { host, issued }, ToFleet::Unban(order)];
    (&stream).write_all(&says.iter().flat_map(line).collect::<Vec<_>>()).unwrap();
    until("both are answered", || told.lock().unwrap().len() == 3);
    for said in &told.lock().unwrap()[1..] {
        assert!(matches!(said, FromFleet::Order(state) if !state.guard), "{said:?}");
    }
}
