package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	caCertificate = "ca.crt"
	caKey         = "ca.key"
	servingCert   = "serving.crt"
	servingKey    = "serving.key"
	accountsKey   = "service-accounts.key"
	tokenFile     = "admin.token"
	tokensFile    = "tokens.csv"
)

// validity is longer than anybody keeps a test cluster.
const validity = 10 * 365 * 24 * time.Hour

// ensurePKI makes the credentials of a new control plane, all or none of them.
func ensurePKI(dir string) error {
	target := filepath.Join(dir, "pki")
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	files, err := newPKI()
	if err != nil {
		return fmt.Errorf("making the credentials of the control plane: %w", err)
	}
	if err := os.RemoveAll(target + unfinished); err != nil {
		return fmt.Errorf("making the credentials of the control plane: %w", err)
	}
	if err := os.Mkdir(target+unfinished, 0o700); err != nil {
		return fmt.Errorf("making the credentials of the control plane: %w", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(target+unfinished, name), text, 0o600); err != nil {
			return fmt.Errorf("writing the credentials of the control plane: %w", err)
		}
	}
	return os.Rename(target+unfinished, target)
}

// newPKI returns the files by name.
func newPKI() (map[string][]byte, error) {
	authority, authorityKey, errAuthority := newKeyAndCertificate(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "local-control-plane"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, nil, nil)
	if errAuthority != nil {
		return nil, errAuthority
	}
	serving, key, errServing := newKeyAndCertificate(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		IPAddresses: []net.IP{net.ParseIP(localhost), net.ParseIP(ServiceIP)},
	}, authority, authorityKey)
	accounts, errAccounts := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(errServing, errAccounts); err != nil {
		return nil, err
	}
	token := rand.Text()
	files := map[string][]byte{
		caCertificate: certificatePEM(authority),
		servingCert:   certificatePEM(serving),
		tokenFile:     []byte(token),
		tokensFile:    []byte(token + `,admin,admin,"system:masters"` + "\n"),
	}
	for name, key := range map[string]*ecdsa.PrivateKey{caKey: authorityKey, servingKey: key, accountsKey: accounts} {
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, err
		}
		files[name] = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	}
	return files, nil
}

// newKeyAndCertificate completes the template and has it signed; by itself if there is no signer.
func newKeyAndCertificate(template, signer *x509.Certificate, signerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	// An hour of grace for a clock that is set back.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = template.NotBefore.Add(validity)
	if signer == nil {
		signer, signerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signerKey)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, key, err
}

func certificatePEM(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}
