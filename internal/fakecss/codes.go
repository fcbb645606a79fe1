package fakecss

// cleanStop is the errcode of a client that stopped by itself.
const cleanStop int32 = 1

// noData is the errcode of a push that was silent for too long.
const noData int32 = 8

// refused is the errcode of a push that was not let in, replaced that of one that had to make room.
const refused, replaced int32 = 18, 21

// messages are texts of errmsg: 1 is the sample's of 2024; 2, 3, 4, 18 and 19 are of earlier editions. The others are the meanings of
// the table, as nobody may rely on the text.
// Source: https://www.tencentcloud.com/document/product/267/31083.
var messages = map[int32]string{
	1: "The push client actively stopped the push", 2: "recv rtmp closeStream", 3: "recv() return 0", 4: "recv() return error",
	6: "RTMP content error", 7: "message larger than 1M", 8: "no data for a long time", 18: "push url maybe invalid",
	19: "3rdparty auth failed", 20: "no data for a long time", 21: "the push was cut", 35: "client stopped",
	12: networkError, 13: networkError, 14: networkError, 15: networkError, 16: networkError, 17: networkError,
}

const networkError = "push link network error"

func messageOf(code int32) string {
	if message, known := messages[code]; known {
		return message
	}
	return "unknown"
}

// resumable says whether CSS waits for a push that ended so: the network dropped it.
func resumable(code int32) bool { return messages[code] == networkError }
