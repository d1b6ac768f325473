// Command certificates issues keys and certificates for a control plane on loopback, with nothing but Go's standard
// library, so that no openssl command is needed.
//
//	certificates authority DIRECTORY NAME                 NAME.crt and NAME.key of a new authority
//	certificates client    DIRECTORY AUTHORITY NAME USER [GROUP…]
//	certificates server    DIRECTORY AUTHORITY NAME HOST…
//	certificates key-pair  DIRECTORY NAME                 NAME.key and NAME.pub, no certificate
//
// Several calls may follow each other, separated by a lone "+".
package main

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

const lifetime = 365 * 24 * time.Hour

func main() {
	var call []string
	for _, argument := range append(os.Args[1:], "+") {
		if argument != "+" {
			call = append(call, argument)
			continue
		}
		if err := issue(call); err != nil {
			fmt.Fprintf(os.Stderr, "certificates %q: %v\n", call, err)
			os.Exit(1)
		}
		call = nil
	}
}

func issue(call []string) error {
	if len(call) < 3 {
		return errors.New("want at least: KIND DIRECTORY NAME")
	}
	kind, directory, rest := call[0], call[1], call[2:]
	switch {
	case kind == "authority":
		template := newTemplate(pkix.Name{CommonName: rest[0]})
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
		return write(directory, rest[0], template, "")
	case kind == "client" && len(rest) >= 3:
		template := newTemplate(pkix.Name{CommonName: rest[2], Organization: rest[3:]})
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		return write(directory, rest[1], template, rest[0])
	case kind == "server" && len(rest) >= 3:
		template := newTemplate(pkix.Name{CommonName: rest[2]})
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		addHosts(template, rest[2:])
		return write(directory, rest[1], template, rest[0])
	case kind == "key-pair":
		return writeKeyPair(directory, rest[0])
	}
	return errors.New("unknown kind, or too few arguments")
}

func newTemplate(subject pkix.Name) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Hour), // clocks that are stepped back
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func addHosts(template *x509.Certificate, hosts []string) {
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
}

// write signs the template with the named authority, or with its own key where that name is empty.
func write(directory, name string, template *x509.Certificate, authority string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	parent, signer := template, key
	if authority != "" {
		if parent, signer, err = readAuthority(directory, authority); err != nil {
			return err
		}
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	if err := writePEM(directory, name+".crt", "CERTIFICATE", certificate, 0o644); err != nil {
		return err
	}
	return writeKey(directory, name, key)
}

func readAuthority(directory, name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certificate, err := readPEM(directory, name+".crt")
	if err != nil {
		return nil, nil, err
	}
	key, err := readPEM(directory, name+".key")
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, nil, err
	}
	signer, err := x509.ParseECPrivateKey(key)
	return parsed, signer, err
}

func writeKeyPair(directory, name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writePEM(directory, name+".pub", "PUBLIC KEY", public, 0o644); err != nil {
		return err
	}
	return writeKey(directory, name, key)
}

func writeKey(directory, name string, key *ecdsa.PrivateKey) error {
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(directory, name+".key", "EC PRIVATE KEY", encoded, 0o600)
}

func writePEM(directory, file, kind string, content []byte, mode os.FileMode) error {
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	return os.WriteFile(filepath.Join(directory, file), block, mode)
}

func readPEM(directory, file string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(directory, file))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	return block.Bytes, nil
}
