//! A component that imports `nexus:sql` is answered.

use host_sql::{SqlContext, SqlView, add_to_linker};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker, ResourceTable};

struct State {
    sql: SqlContext,
    table: ResourceTable,
}

const GUEST: &str = r#"(component
  (import "nexus:sql/sql@0.1.0" (instance
    (type $isolation' (enum "read-committed" "serializable"))
    (export "isolation" (type $isolation (eq $isolation')))
    (export "transaction" (type $transaction (sub resource)))
    (export "[static]transaction.begin" (func (param "isolation" $isolation) (result (own $transaction))))
    (export "[method]transaction.savepoint" (func (param "self" (borrow $transaction)))))))"#;

#[test]
fn the_interface_and_its_resource_are_linked() {
    let engine = Engine::default();
    let mut linker = Linker::<State>::new(&engine);
    let component = Component::new(&engine, wat::parse_str(GUEST).unwrap()).unwrap();
    assert!(linker.instantiate_pre(&component).is_err(), "nobody answers yet");
    add_to_linker(&mut linker, |state| SqlView {
        context: &mut state.sql,
        table: &mut state.table,
    })
    .unwrap();
    linker.instantiate_pre(&component).unwrap();
}
