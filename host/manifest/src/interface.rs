//! Names of WIT interfaces, and when one version answers another.

use std::fmt;

use semver::Version;

use crate::names::is_words;

/// `namespace:package/interface@version`; as a pattern, without interface (all of the package) or version (any).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName {
    package: String,
    interface: Option<String>,
    version: Option<Version>,
}

/// Text that does not name a WIT package or interface; says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidInterfaceName(String);

impl InterfaceName {
    /// Reads `namespace:package[/interface][@version]`.
    ///
    /// # Errors
    /// When the text has another form or its version is no semantic version.
    pub fn parse(text: &str) -> Result<Self, InvalidInterfaceName> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => {
                let version = Version::parse(version).map_err(|error| {
                    InvalidInterfaceName(format!("the version `{version}` is not semantic: {error}"))
                })?;
                (name, Some(version))
            }
            None => (text, None),
        };
        let (package, interface) = match name.split_once('/') {
            Some((package, interface)) => (package, Some(interface)),
            None => (name, None),
        };
        let named = package
            .split_once(':')
            .is_some_and(|(space, name)| is_words(space, '-') && is_words(name, '-'));
        if !named || interface.is_some_and(|interface| !is_words(interface, '-')) {
            return Err(InvalidInterfaceName(
                "it is not `namespace:package/interface@version`".into(),
            ));
        }
        Ok(Self {
            package: package.to_owned(),
            interface: interface.map(str::to_owned),
            version,
        })
    }

    /// `shop:payment` of `shop:payment/provider@0.1.0`.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// `shop` of `shop:payment/provider@0.1.0`.
    pub fn namespace(&self) -> &str {
        self.package.split(':').next().unwrap_or_default()
    }

    /// `provider` of `shop:payment/provider@0.1.0`; none when the whole package is meant.
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// The same package and version with another interface.
    pub(crate) fn with_interface(&self, interface: &str) -> Self {
        Self {
            interface: Some(interface.to_owned()),
            ..self.clone()
        }
    }

    /// The version, when one is given.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// Whether this name, as a pattern, stands for `other`: the same package, the same interface unless none is given, and versions
    /// that are compatible unless one is missing.
    pub fn covers(&self, other: &Self) -> bool {
        self.package == other.package
            && (self.interface.is_none() || self.interface == other.interface)
            && match (&self.version, &other.version) {
                (Some(mine), Some(theirs)) => compatible(mine, theirs),
                _ => true,
            }
    }

    /// Whether some interface is covered by both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

/// Versions are compatible when wasmtime's linker takes one for the other: equal left of and including the first digit that is not zero.
/// A pre-release is compatible with itself alone.
fn compatible(left: &Version, right: &Version) -> bool {
    let track = |version: &Version| match (version.pre.is_empty(), version.major, version.minor) {
        (false, ..) => (version.major, version.minor, version.patch),
        (true, 0, 0) => (0, 0, version.patch),
        (true, 0, minor) => (0, minor, 0),
        (true, major, _) => (major, 0, 0),
    };
    left.pre == right.pre && track(left) == track(right)
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.package)?;
        if let Some(interface) = &self.interface {
            write!(f, "/{interface}")?;
        }
        if let Some(version) = &self.version {
            write!(f, "@{version}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::InterfaceName;

    fn name(text: &str) -> InterfaceName {
        InterfaceName::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn names_are_read_and_written_alike() {
        for text in [
            "shop:payment",
            "shop:payment@0.1.0",
            "shop:payment/provider",
            "wasi:config/store@0.2.0-rc.1",
        ] {
            assert_eq!(name(text).to_string(), text);
        }
        for text in [
            "",
            "shop",
            "shop:",
            "shop:a/",
            "shop:a/b@1",
            "shop:a/b@",
            "a:b:c/d",
            "Shop:a/b",
        ] {
            assert!(InterfaceName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_patch_does_not_matter_but_a_breaking_version_does() {
        let covers = |left: &str, right: &str| name(left).covers(&name(right));
        assert!(covers("wasi:io/streams@0.2.12", "wasi:io/streams@0.2.6"));
        assert!(covers("shop:a/b@1.2.0", "shop:a/b@1.0.3"));
        assert!(!covers("shop:a/b@0.1.0", "shop:a/b@0.2.0"));
        assert!(!covers("shop:a/b@0.0.1", "shop:a/b@0.0.2"));
        assert!(!covers("shop:a/b@1.0.0", "shop:a/b@2.0.0"));
        assert!(covers("wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0-rc.1"));
        assert!(!covers("wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0"));
    }

    #[test]
    fn a_package_covers_its_interfaces_and_a_missing_version_any() {
        assert!(name("shop:a@0.1.0").covers(&name("shop:a/b@0.1.4")));
        assert!(name("shop:a/b").covers(&name("shop:a/b@3.0.0")));
        assert!(!name("shop:a/b").covers(&name("shop:a/c@3.0.0")));
        assert!(
            !name("shop:a/b@0.1.0").covers(&name("shop:a@0.1.0")),
            "an interface is not its package"
        );
    }
}
