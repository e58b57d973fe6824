// A stranger's client of the simulated Avi Controller: VMware's own Go SDK and its models, as AKO uses them.
//
// It makes the documentation's shared VIP, reads it back into the SDK's types (which refuse a wrong shape), changes
// and deletes it, and prints what it saw as one JSON document. It knows nothing of the simulator.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/vmware/alb-sdk/go/models"
	"github.com/vmware/alb-sdk/go/session"
)

const (
	group = "cluster--default-shared-vip-key-1"
	owner = "ako-cluster"
)

type seen map[string]interface{}

func main() {
	host, ca, username, password := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	found := seen{}
	avi := login(host, ca, username, password)
	boot(avi, found)
	build(avi, found)
	list(avi, found)
	change(avi, found)
	refuse(avi, found)
	remove(avi, found)
	must(avi.Logout())
	must(json.NewEncoder(os.Stdout).Encode(found))
}

func login(host, ca, username, password string) *session.AviSession {
	pem, err := os.ReadFile(ca)
	must(err)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	avi, err := session.NewAviSession(host, username, session.SetPassword(password), session.SetTenant("admin"),
		session.SetVersion("30.2.1"), session.SetTransport(transport), session.SetTimeout(30*time.Second))
	must(err)
	return avi
}

// What AKO asks before it builds anything (ako.md 6.1).
func boot(avi *session.AviSession, found seen) {
	version, err := avi.GetControllerVersion()
	must(err)
	var runtime, configuration map[string]interface{}
	must(avi.Get("/api/cluster/runtime", &runtime))
	must(avi.Get("/api/systemconfiguration", &configuration))
	var cloud models.Cloud
	must(avi.GetObject("cloud", session.SetName("Default-Cloud"), session.SetIncludeName(true), session.SetResult(&cloud)))
	groups, err := avi.GetCollectionRaw("/api/serviceenginegroup/?include_name&page_size=100&cloud_ref.name=Default-Cloud&name.in=Default-Group")
	must(err)
	found["boot"] = seen{
		"version": version,
		"cluster": runtime["cluster_state"].(map[string]interface{})["state"],
		"tier":    configuration["default_license_tier"],
		"cloud":   *cloud.Vtype,
		"groups":  groups.Count,
	}
}

func build(avi *session.AviSession, found seen) {
	vip := models.VsVip{
		Name:     text(group),
		CloudRef: text("/api/cloud?name=Default-Cloud"),
		Vip: []*models.Vip{{VipID: text("0"), AutoAllocateIP: truth(true),
			IPAMNetworkSubnet: &models.IPNetworkSubnet{NetworkRef: text("/api/network/?name=net1")}}},
	}
	var vipMade models.VsVip
	must(avi.Post("/api/vsvip", vip, &vipMade))
	pools := map[string]string{}
	for _, protocol := range []string{"TCP", "UDP"} {
		name := fmt.Sprintf("cluster--default-lb-%s-80", protocol)
		var made models.Pool
		must(avi.Post("/api/pool", models.Pool{
			Name: text(name), CloudRef: text("/api/cloud?name=Default-Cloud"), CreatedBy: text(owner),
			CloudConfigCksum: text("16971075"), HealthMonitorRefs: []string{"/api/healthmonitor/?name=System-" + protocol},
			Servers: []*models.Server{{IP: &models.IPAddr{Addr: text("10.244.1.11"), Type: text("V4")}, Port: number(8080)}},
		}, &made))
		pools[protocol] = *made.UUID
	}
	var rules []*models.L4Rule
	for index, protocol := range []string{"TCP", "UDP"} {
		rules = append(rules, &models.L4Rule{
			Index: number(index), Name: text(protocol + "-80"),
			Match: &models.L4RuleMatchTarget{
				Port:     &models.L4RulePortMatch{MatchCriteria: text("IS_IN"), Ports: []int64{80}},
				Protocol: &models.L4RuleProtocolMatch{MatchCriteria: text("IS_IN"), Protocol: text("PROTOCOL_" + protocol)},
			},
			Action: &models.L4RuleAction{SelectPool: &models.L4RuleActionSelectPool{
				ActionType: text("L4_RULE_ACTION_SELECT_POOL"), PoolRef: text("/api/pool/" + pools[protocol])}},
		})
	}
	policy := models.L4PolicySet{Name: text(group), CreatedBy: text(owner),
		L4ConnectionPolicy: &models.L4ConnectionPolicy{Rules: rules}}
	must(avi.Post("/api/l4policyset", policy, &models.L4PolicySet{}))
	var made models.VirtualService
	must(avi.Post("/api/virtualservice", models.VirtualService{
		Name: text(group), CloudRef: text("/api/cloud?name=Default-Cloud"), CreatedBy: text(owner), CloudConfigCksum: text("1"),
		VsvipRef: text("/api/vsvip/?name=" + group), NetworkProfileRef: text("/api/networkprofile/?name=System-TCP-Proxy"),
		ApplicationProfileRef: text("/api/applicationprofile/?name=System-L4-Application"),
		Services: []*models.Service{
			{Port: number(80), PortRangeEnd: number(80)},
			{Port: number(80), PortRangeEnd: number(80),
				OverrideNetworkProfileRef: text("/api/networkprofile/?name=System-UDP-Fast-Path")},
		},
		L4Policies: []*models.L4Policies{{Index: number(0), L4PolicySetRef: text("/api/l4policyset/?name=" + group)}},
	}, &made))
	found["built"] = seen{
		"vip": *vipMade.Vip[0].IPAddress.Addr, "services": len(made.Services), "cksum": *made.CloudConfigCksum,
		"modified": made.LastModified != nil,
	}
}

// AKO's cache: lists by owner, over all tenants, page by page.
func list(avi *session.AviSession, found seen) {
	var pools []models.Pool
	raw, err := avi.GetCollectionRaw("/api/pool?include_name=true&page_size=1&created_by="+owner, session.SetOptTenant("*"))
	must(err)
	must(avi.GetCollection("/api/pool?include_name=true&page_size=100&created_by="+owner, &pools, session.SetOptTenant("*")))
	var vs models.VirtualService
	must(avi.GetObjectByName("virtualservice", group, &vs))
	var missing models.Pool
	found["listed"] = seen{"count": raw.Count, "next": raw.Next != "", "pools": len(pools), "vs": *vs.Name,
		"absent": avi.GetObjectByName("pool", "nobody", &missing) != nil}
}

func change(avi *session.AviSession, found seen) {
	var pool, patched models.Pool
	must(avi.GetObjectByName("pool", "cluster--default-lb-TCP-80", &pool))
	servers := map[string]interface{}{"servers": []*models.Server{}}
	must(avi.Patch("/api/pool/"+*pool.UUID, servers, "replace", &patched))
	stale := avi.Put("/api/pool/"+*pool.UUID, pool, &models.Pool{})
	must(avi.GetObjectByName("pool", "cluster--default-lb-TCP-80", &pool))
	pool.GracefulDisableTimeout = number(2)
	var put models.Pool
	must(avi.Put("/api/pool/"+*pool.UUID, pool, &put))
	found["changed"] = seen{"servers": len(patched.Servers), "stale": status(stale), "timeout": *put.GracefulDisableTimeout}
}

func refuse(avi *session.AviSession, found seen) {
	var vip models.VsVip
	must(avi.GetObjectByName("vsvip", group, &vip))
	found["refused"] = seen{
		"twice":    status(avi.Post("/api/pool", models.Pool{Name: text("cluster--default-lb-TCP-80")}, &models.Pool{})),
		"unknown":  status(avi.Get("/api/pool/pool-nobody", &models.Pool{})),
		"referred": status(avi.Delete("/api/vsvip/" + *vip.UUID)),
	}
}

func remove(avi *session.AviSession, found seen) {
	drop(avi, "virtualservice", group)
	drop(avi, "l4policyset", group)
	drop(avi, "pool", "cluster--default-lb-TCP-80")
	drop(avi, "pool", "cluster--default-lb-UDP-80")
	drop(avi, "vsvip", group)
	left, err := avi.GetCollectionRaw("/api/pool?created_by=" + owner)
	must(err)
	found["left"] = left.Count
}

func drop(avi *session.AviSession, kind, name string) {
	var there struct{ UUID string }
	must(avi.GetObjectByName(kind, name, &there))
	must(avi.Delete("/api/" + kind + "/" + there.UUID))
}

func status(err error) int {
	if refusal, is := err.(session.AviError); is {
		return refusal.HttpStatusCode
	}
	return 0
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func text(value string) *string { return &value }
func truth(value bool) *bool    { return &value }
func number(value int) *int32   { it := int32(value); return &it }
