//! `spin:variables`, and `fermyon:spin/variables` as it was before, for components that are not journaled.

use std::sync::Arc;

use host_bindings::stock::fermyon::spin::variables as fermyon;
use host_bindings::stock::spin::variables::variables as spin;
use wasmtime::component::{Accessor, HasData, Linker};

use crate::Grants;

/// What the host functions see of an instance.
pub struct SpinVariablesView<'a>(pub &'a Arc<Grants>);

struct SpinData;

impl HasData for SpinData {
    type Data<'a> = SpinVariablesView<'a>;
}

/// Answers `spin:variables` and `fermyon:spin/variables`.
pub fn add_spin_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> SpinVariablesView<'_>,
) -> wasmtime::Result<()> {
    spin::add_to_linker::<T, SpinData>(linker, get)?;
    fermyon::add_to_linker::<T, SpinData>(linker, get)
}

/// Why there is no value.
enum Refused {
    InvalidName(String),
    Undefined(String),
}

impl SpinVariablesView<'_> {
    fn value(&self, name: &str) -> Result<String, Refused> {
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_name {
            let name = &name[..name.floor_char_boundary(64)];
            let text = format!("{name:?} is no name of a variable: they are lower_snake_case");
            return Err(Refused::InvalidName(text));
        }
        match self.0.config.value(name) {
            Some(value) => Ok(value.to_owned()),
            None => Err(Refused::Undefined(format!(
                "no variable {name}: add it to the component's `variables`"
            ))),
        }
    }
}

impl<T: Send> spin::HostWithStore<T> for SpinData {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, spin::Error>> {
        let value = accessor.with(|mut access| access.get().value(&name));
        Ok(value.map_err(|refused| match refused {
            Refused::InvalidName(text) => spin::Error::InvalidName(text),
            Refused::Undefined(text) => spin::Error::Undefined(text),
        }))
    }
}

impl spin::Host for SpinVariablesView<'_> {}

impl fermyon::Host for SpinVariablesView<'_> {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<String, fermyon::Error>> {
        Ok(self.value(&name).map_err(|refused| match refused {
            Refused::InvalidName(text) => fermyon::Error::InvalidName(text),
            Refused::Undefined(text) => fermyon::Error::Undefined(text),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigValue, MasterKey};

    #[test]
    fn a_component_reads_its_own_variables_and_their_secrets_and_no_others() {
        let config = [
            ("region".to_owned(), ConfigValue::plain("eu")),
            (
                "token".to_owned(),
                ConfigValue::secret("hunter2", &MasterKey::new(&[1; 32])),
            ),
        ];
        let grants = Arc::new(Grants {
            config: config.into_iter().collect(),
            ..Grants::default()
        });
        let view = SpinVariablesView(&grants);
        assert!(matches!(view.value("region"), Ok(value) if value == "eu"));
        assert!(matches!(view.value("token"), Ok(value) if value == "hunter2"));
        assert!(matches!(view.value("other"), Err(Refused::Undefined(_))));
        for invalid in ["", "Region", "a-b", "1a", &"é".repeat(100)] {
            assert!(matches!(view.value(invalid), Err(Refused::InvalidName(_))), "{invalid}");
        }
    }
}
