//! Options and geocoding for every module
