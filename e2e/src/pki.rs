//! Certificates of one cluster: two authorities, a server, clients, the service-account key.
//! Made fresh for every lab by `cluster`; written beside the cluster for the programs that read files.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// A certificate with its key, both PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// Signs for one cluster. Keys are ECDSA P-256.
pub struct Authority {
    /// The authority's own certificate, PEM.
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
    key: String,
}

impl Authority {
    pub fn new(name: &str) -> Result<Self> {
        let mut params = params(name, None, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let text = key.serialize_pem();
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
            key: text,
        })
    }

    /// The authority that was written to `folder` as `NAME.crt` and `NAME.key`.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let certificate = fs::read_to_string(folder.join(format!("{name}.crt")))?;
        let key = fs::read_to_string(folder.join(format!("{name}.key")))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(&key)?)?;
        Ok(Self {
            certificate,
            issuer,
            key,
        })
    }

    /// A certificate for `name` in group `group`, good as client and, for `hosts`, as server.
    pub fn sign(&self, name: &str, group: Option<&str>, hosts: &[&str]) -> Result<Identity> {
        let mut params = params(name, group, hosts)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity {
            certificate,
            key: key.serialize_pem(),
        })
    }

    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        write_pair(folder, name, &self.certificate, &self.key)
    }
}

impl Identity {
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        write_pair(folder, name, &self.certificate, &self.key)
    }

    /// The identity that was written to `folder` as `NAME.crt` and `NAME.key`.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        Ok(Self {
            certificate: fs::read_to_string(folder.join(format!("{name}.crt")))?,
            key: fs::read_to_string(folder.join(format!("{name}.key")))?,
        })
    }
}

/// Writes `sa.key` and `sa.pub`, with which service-account tokens are signed and checked.
pub fn write_service_account_key(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    fs::write(folder.join("sa.key"), key.serialize_pem())?;
    fs::write(folder.join("sa.pub"), key.public_key_pem())?;
    Ok(())
}

fn params(name: &str, group: Option<&str>, hosts: &[&str]) -> Result<CertificateParams> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    Ok(params)
}

fn write_pair(folder: &Path, name: &str, certificate: &str, key: &str) -> Result<()> {
    fs::write(folder.join(format!("{name}.crt")), certificate)?;
    fs::write(folder.join(format!("{name}.key")), key)?;
    Ok(())
}
