package emulated

import "github.com/nlrig/nlrig/vmtest/nlmsg"

// Metrics of routes (include/uapi/linux/rtnetlink.h RTAX_*).
const (
	rtaxLock     = 1
	rtaxMtu      = 2
	rtaxAdvmss   = 8
	rtaxHoplimit = 10
	rtaxFeatures = 12
	rtaxCcAlgo   = 16
	rtaxMax      = 17
)

// fibMetrics are the metrics of a route, by type less one; nil for none
// (include/net/dst.h struct dst_metrics).
type fibMetrics struct {
	values [rtaxMax]uint32
	cc     string // RTAX_CC_ALGO by its name
}

func (m *fibMetrics) equal(o *fibMetrics) bool {
	if m == nil || o == nil {
		return m == o
	}
	return *m == *o
}

// tcpCaKnown are the algorithms that are there (net/ipv4/tcp_cong.c
// tcp_ca_get_key_by_name).
func tcpCaKnown(name string) bool { return name == "reno" || name == "cubic" }

// ipFibMetricsInit reads RTA_METRICS, whose attributes begin at off
// (net/ipv4/metrics.c ip_fib_metrics_init, ip_metrics_convert).
func (k *Kernel) ipFibMetricsInit(mx []byte, off int, x *extAck) (*fibMetrics, errno) {
	if mx == nil {
		return nil, 0
	}
	m := &fibMetrics{}
	_, err := eachAttr(mx, off, func(a *nlattr) errno {
		t := a.kind()
		fail := func(msg string) errno {
			x.set(msg)
			return nlmsg.EINVAL
		}
		if t == 0 {
			return 0
		}
		if t > rtaxMax {
			return fail("Invalid metric type")
		}
		if t == rtaxCcAlgo {
			if m.cc = a.str(); !tcpCaKnown(m.cc) {
				return fail("Unknown tcp congestion algorithm")
			}
			m.values[t-1] = 1
			return 0
		}
		if len(a.data) != 4 {
			x.setAttr(a, "Invalid attribute in metrics")
			return nlmsg.EINVAL
		}
		v := a.u32()
		switch t {
		case rtaxAdvmss:
			v = min(v, 65535-40)
		case rtaxMtu:
			v = min(v, 65535-15)
		case rtaxHoplimit:
			v = min(v, 255)
		case rtaxFeatures:
			if v&^k.rtaxFeatureMask() != 0 {
				return fail("Unknown flag set in feature mask in metrics attribute")
			}
		}
		m.values[t-1] = v
		return 0
	})
	if err != 0 {
		return nil, err
	}
	return m, 0
}

// rtaxFeatureMask is RTAX_FEATURE_MASK.
func (k *Kernel) rtaxFeatureMask() uint32 {
	if k.has(tcpUsecTs) {
		return 31
	}
	return 15
}

// fibMetricsMatch says whether a route has the metrics that are to be deleted
// (net/ipv4/fib_semantics.c fib_metrics_match).
func fibMetricsMatch(cfg *fibConfig, fi *fibInfo) bool {
	if !cfg.hasMx {
		return true
	}
	have := fi.metrics
	if have == nil {
		have = &fibMetrics{}
	}
	_, err := eachAttr(cfg.mx, 0, func(a *nlattr) errno {
		t := a.kind()
		if t == 0 {
			return 0
		}
		ok := t <= rtaxMax && len(a.data) == 4 && have.values[t-1] == a.u32()
		if t == rtaxCcAlgo {
			ok = have.cc == a.str()
		}
		if !ok {
			return nlmsg.EINVAL
		}
		return 0
	})
	return err == 0
}

// rtnetlinkPutMetrics is net/core/rtnetlink.c rtnetlink_put_metrics.
func (k *Kernel) rtnetlinkPutMetrics(skb *skBuff, m *fibMetrics) {
	if m == nil {
		return
	}
	n := skb.nlaNestNoflag(rtaMetrics)
	for i, v := range m.values {
		switch t := i + 1; {
		case v == 0:
		case t == rtaxCcAlgo:
			skb.nlaPutString(rtaxCcAlgo, m.cc)
		case t == rtaxFeatures:
			if v &= k.rtaxFeatureMask(); v != 0 {
				skb.nlaPutU32(rtaxFeatures, v)
			}
		default:
			skb.nlaPutU32(uint16(t), v)
		}
	}
	if !skb.full && n.empty() {
		n.cancel()
		return
	}
	n.end()
}
