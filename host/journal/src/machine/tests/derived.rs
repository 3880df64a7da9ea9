//! Values that follow from the seed and the position, and time.

use host_types::InvocationId;

use super::*;

#[test]
fn the_next_effects_key_is_known_before_it_and_asking_for_it_is_no_command() {
    let invocation = InvocationId::new(1, [2; 10]);
    let scopes = [Scope::root(), Scope::root().child(0)];
    let mut guest = Guest::new(Machine::start(header()));
    for scope in &scopes {
        let hash = guest.hash("");
        let told = guest.machine.next_effect_key(invocation, scope);
        assert_eq!(told, guest.machine.next_effect_key(invocation, scope));
        let step = guest
            .machine
            .command(scope, CommandKind::External, "POST /charge", hash)
            .unwrap();
        let Step::Perform(position) = step else {
            panic!("nothing is recorded");
        };
        assert_eq!(told, guest.machine.effect_key(invocation, &position));
        assert_ne!(told, guest.machine.next_effect_key(invocation, scope));
    }
}

#[test]
fn a_derived_value_is_drawn_again_and_never_recorded() {
    let draw = |machine: &mut Machine| {
        let mut bytes = [0; 16];
        machine.derive(&Scope::root(), &mut bytes).unwrap();
        bytes
    };
    let mut first = Guest::new(Machine::start(header()));
    first.observe("a").unwrap();
    let drawn = draw(&mut first.machine);
    first.observe("b").unwrap();
    assert_eq!(first.machine.pending().len(), 3, "start, a, b");
    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    second.observe("a").unwrap();
    assert_eq!(draw(&mut second.machine), drawn);
    second.observe("b").unwrap();
    assert_eq!(second.world, 0);
}

#[test]
fn a_command_where_a_value_was_derived_is_a_mismatch_and_the_other_way_round() {
    let mut first = Guest::new(Machine::start(header()));
    first.machine.derive(&Scope::root(), &mut [0; 8]).unwrap();
    first.observe("b").unwrap();
    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    assert!(matches!(second.observe("b"), Err(Fault::Mismatch { .. })));
    let mut third = Machine::replay(history(&first)).unwrap();
    third.derive(&Scope::root(), &mut [0; 8]).unwrap();
    assert!(matches!(
        third.derive(&Scope::root(), &mut [0; 8]),
        Err(Fault::Mismatch { .. })
    ));
}

#[test]
fn time_never_runs_backwards_and_a_replay_tells_the_recorded_time() {
    let mut machine = Machine::start(header());
    assert_eq!(machine.now(&Scope::root(), 500), Ok(1_000), "not before the start");
    assert_eq!(machine.now(&Scope::root(), 3_000), Ok(3_000));
    assert_eq!(machine.now(&Scope::root(), 2_000), Ok(3_000));
    let mut again = Machine::replay(machine.log.clone()).unwrap();
    assert_eq!(again.now(&Scope::root(), 9_000), Ok(1_000));
    assert_eq!(again.now(&Scope::root(), 9_000), Ok(3_000));
}

#[test]
fn an_id_does_not_depend_on_whether_what_was_called_is_entered_again() {
    let draw = |machine: &mut Machine| machine.derive_uuid(&Scope::root()).unwrap();
    let mut first = Guest::new(Machine::start(header()));
    first.machine.now(&Scope::root(), 2_000).unwrap();
    let call = first.hash("cart-7");
    let kind = CommandKind::Call;
    let Ok(Step::Perform(position)) = first.machine.command(&Scope::root(), kind, "stock:a.b", call) else {
        panic!("nothing is recorded yet")
    };
    let inner = position.scope.child(position.number);
    let within = first.machine.derive_uuid(&inner).unwrap();
    assert_eq!(
        within.get_timestamp().map(|time| time.to_unix().0),
        Some(2),
        "that of its caller"
    );
    first.machine.now(&inner, 9_000).unwrap();
    first
        .machine
        .complete(&position, kind, "", call, Payload::from_static(b"held"))
        .unwrap();
    let drawn = draw(&mut first.machine);

    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    second.machine.now(&Scope::root(), 9_500).unwrap();
    second.machine.command(&Scope::root(), kind, "stock:a.b", call).unwrap();
    assert_eq!(draw(&mut second.machine), drawn);
    assert_eq!(
        second.machine.now(&Scope::root(), 3_000),
        Ok(9_000),
        "it does not run backwards either"
    );
}
