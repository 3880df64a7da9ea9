//! The one bindgen over `wit/`: traits the capabilities implement, and typed exports the invoker calls.
//! Generated code is compiled here once, because it is slow to compile and everybody needs it.
#![expect(missing_docs, reason = "generated from WIT, where the documentation is")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "shop:worlds/host",
    imports: {
        "nexus:sql/sql": async | trappable,
        "nexus:crypto/passwords": async | trappable,
        "nexus:durable/promises": async | trappable,
        "nexus:durable/workflows": async | trappable,
        "nexus:durable/invocation.sleep": async | trappable,
        "wasi:keyvalue/store": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "nexus:sql/sql.transaction": SqlTransaction,
        "nexus:sql/sql.pending-query": SqlPendingQuery,
        "wasi:keyvalue/store.bucket": KeyValueBucket,
    },
    require_store_data_send: true,
});

/// The interfaces of components for Spin, which run on the stock engine.
pub mod stock {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "shop:worlds/stock",
        imports: {
            "fermyon:spin/key-value": async | trappable,
            "spin:postgres/postgres": async | trappable,
            default: trappable,
        },
        with: {
            "spin:key-value/key-value.store": super::KeyValueBucket,
            "fermyon:spin/key-value.store": super::KeyValueBucket,
            "spin:postgres/postgres.connection": super::SpinConnection,
            "spin:postgres/postgres.connection-builder": super::SpinConnection,
        },
        require_store_data_send: true,
    });
}

/// What stands behind a guest's `transaction` handle. The SQL capability puts its own state in.
pub struct SqlTransaction(pub Box<dyn std::any::Any + Send>);

/// What stands behind a guest's `connection` of `spin:postgres`, or what makes one: its address.
pub struct SpinConnection(pub String);

/// What stands behind a guest's `pending-query` handle, likewise.
pub struct SqlPendingQuery(pub Box<dyn std::any::Any + Send>);

/// What stands behind a guest's `bucket` or `store` handle: the name of a store that it was granted.
pub struct KeyValueBucket(pub String);
