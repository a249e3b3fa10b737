//! Writes `crds/manifests/`, one file a kind, and the same into the chart. Run it after every change of the kinds; a test
//! compares.

mod manifest;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for folder in manifest::FOLDERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        std::fs::create_dir_all(&folder)?;
        for crd in sky_crds::schema::all() {
            let file = folder.join(manifest::file_name(&crd));
            std::fs::write(&file, manifest::text(&crd)?)?;
            println!("{}", file.display());
        }
    }
    Ok(())
}
